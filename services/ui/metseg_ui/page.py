"""The page: banner, title, and either a form for a new scan or the job of `?job=<id>`."""

from importlib.metadata import version
from pathlib import Path

import streamlit as st

from metseg_client import MetsegClient
from metseg_ui.job.progress import show_job
from metseg_ui.problems import readable_problems
from metseg_ui.submit.form import show_new_scan
from metseg_ui.text import BANNER

STYLE = Path(__file__).with_name("page.css")
ICON = Path(__file__).with_name("icon.svg")


def show(client: MetsegClient) -> None:
    """Draw the whole page for this visit.

    Args:
        client: speaks to the job API.
    """
    st.set_page_config("metseg", ICON, layout="wide", initial_sidebar_state="collapsed")
    st.html(STYLE)
    st.html(f'<div class="metseg-banner" role="note">{BANNER}</div>')
    job_id = st.query_params.get("job")
    _show_title(is_job=bool(job_id))
    _show_notice()
    with readable_problems():
        if job_id:
            show_job(client, job_id)
        else:
            show_new_scan(client)
    st.html(f'<footer class="metseg-footer">metseg {version("metseg-ui")}</footer>')


def _show_title(*, is_job: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="title"):
        st.html('<div class="metseg-title"><b>metseg</b><span>Brain metastases in T1c MRI</span></div>')
        if is_job and st.button("New scan", icon=":material/add:", key="new-scan"):
            st.query_params.clear()
            st.rerun()


def _show_notice() -> None:
    """What the last action did, once."""
    notice = st.session_state.pop("notice", None)
    if notice:
        st.success(notice, icon=":material/check:")
