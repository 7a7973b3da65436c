"""The result of a succeeded job: figures, viewer, downloads."""

from functools import partial

import streamlit as st

from metseg.schemas.job import Artefact, Job
from metseg.schemas.report import Report
from metseg_client import MetsegClient
from metseg_ui.job.delete import show_delete
from metseg_ui.job.follow_up import show_follow_up
from metseg_ui.job.rano_bm import show_rano
from metseg_ui.text import ARTEFACTS, members_text, plain, totals
from metseg_ui.viewer.packing import ViewedStudy, pack
from metseg_ui.viewer.shared_studies import STUDIES
from metseg_ui.viewer.study import fetch_study
from metseg_ui.viewer.viewer import show_viewer


def show_result(client: MetsegClient, job: Job) -> None:
    """Draw the result.

    Raises:
        ClientError: an artefact cannot be had.
        MetsegError: an artefact cannot be drawn.
    """
    study = STUDIES.get(job.id, partial(_load, job.id, client))
    report = study.report
    _show_totals(report)
    show_viewer(study)
    show_follow_up(report)
    show_rano(report)
    _show_downloads(client, job.id)
    _show_origin(report, job)
    show_delete(client, job.id)


def _load(job_id: str, client: MetsegClient) -> ViewedStudy:
    with st.spinner("Loading the result…"):
        report = client.report(job_id)
        return pack(report, fetch_study(client, report))


def _show_totals(report: Report) -> None:
    figures = totals(report)
    with st.container(key="totals"):
        for column, (name, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
            column.metric(name, value, border=True)


def _show_downloads(client: MetsegClient, job_id: str) -> None:
    st.subheader("Downloads")
    artefacts = client.result(job_id).artefacts
    with st.container(horizontal=True, key="downloads"):
        for artefact in artefacts:
            st.download_button(
                ARTEFACTS.get(artefact.name, artefact.name),
                data=partial(client.fetch, job_id, artefact.name),
                file_name=_file_name(job_id, artefact),
                mime=artefact.media_type,
                on_click="ignore",
                icon=":material/download:",
                key=f"download-{artefact.name}",
                help=f"{artefact.name} · {_size_text(artefact.size_bytes)}",
            )


def _file_name(job_id: str, artefact: Artefact) -> str:
    """The end of the job's id tells the files of two jobs apart."""
    return f"metseg-{job_id[-8:]}-{artefact.name}"


def _size_text(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"


def _show_origin(report: Report, job: Job) -> None:
    with st.expander("How this result was made", icon=":material/info:"):
        model = report.model
        members = f"\n- Mean of {plain(members_text(model.members))}" if model.members else ""
        st.markdown(
            f"- Model: {plain(model.name)}, version {model.version} (`{model.digest[:12]}`){members}\n"
            f"- Training data: {plain(', '.join(report.trained_on) or 'not stated')}\n"
            f"- {plain(report.disease_notice or 'Trained on: the disease is not stated.')}\n"
            f"- Scan: {' × '.join(map(str, report.source.shape))} voxels, "
            f"{_spacing_text(report)}, stored as {''.join(report.source.orientation)}\n"
            f"- Time: {_time_text(job)}\n"
            f"- Model server's device, as stated by its operator: {_device_text(report)}\n"
            f"- {plain(report.research_use)}"
        )


def _device_text(report: Report) -> str:
    return plain(report.provenance.device) if report.provenance else "not stated"


def _time_text(job: Job) -> str:
    if job.started_at is None or job.finished_at is None:
        return "not known"
    return f"{(job.finished_at - job.started_at).total_seconds():.1f} s"


def _spacing_text(report: Report) -> str:
    spacing = report.source.spacing_mm
    return "pixels of unknown size" if spacing is None else " × ".join(f"{mm:.2f}" for mm in spacing) + " mm"
