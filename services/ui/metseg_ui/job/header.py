"""Which scan is shown: what its sender calls it, its job, model and day."""

import streamlit as st

from metseg.schemas.job import Job
from metseg_ui.text import plain

SHORT = 8
"""So many of the last characters of a job's id tell it from others, here and in the names of downloads."""


def show_header(job: Job) -> None:
    """Draw the line above a job, and name the browser's tab after it."""
    label = job.request.label
    st.set_page_config(page_title=f"{label or job.id[-SHORT:]} · metseg")
    named = f"**{plain(label)}** · " if label else ""
    model = f"{plain(job.model.name)} {job.model.version}"
    when = f"{job.created_at:%Y-%m-%d %H:%M} UTC"
    with st.container(key="header"):
        st.markdown(f"{named}job `{job.id[-SHORT:]}` · {model} · {when}")
