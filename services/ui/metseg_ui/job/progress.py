"""The page of one job: progress while it goes on, its result or the reason why there is none."""

from datetime import UTC, datetime

import streamlit as st

from metseg.errors import JobNotFoundError
from metseg.schemas.job import Job, JobState, Stage, is_job_id
from metseg_client import ClientError, MetsegClient
from metseg_ui.job.delete import show_delete
from metseg_ui.job.header import show_header
from metseg_ui.job.result import show_result
from metseg_ui.problems import hint_for, readable_problems, show_problem
from metseg_ui.submit.send import let_go
from metseg_ui.submit.series_choice import show_series_choice
from metseg_ui.text import STAGES, elapsed_text, plain, progress_text, sentence

POLL_S = 1.0


def show_job(client: MetsegClient, job_id: str) -> None:
    """Draw the job as it stands.

    Raises:
        ClientError: the API cannot be asked, or does not know the job.
        JobNotFoundError: the address holds no job's id.
    """
    if not is_job_id(job_id):
        raise JobNotFoundError("this address does not belong to a job")
    job = client.job(job_id)
    show_header(job)
    series = job.error.series if job.error else []
    if job.state.is_final and not series:
        let_go(job.id)
    if not job.state.is_final:
        _show_progress(client, job_id)
    elif job.state is JobState.SUCCEEDED:
        show_result(client, job)
    else:
        _show_end(job)
        if job.error and series:
            show_series_choice(client, job, job.error)
        show_delete(client, job.id)


@st.fragment(run_every=POLL_S)
def _show_progress(client: MetsegClient, job_id: str) -> None:
    """Ask again every second; the page turns to the result by itself."""
    try:
        job = client.job(job_id)
    except ClientError as exc:
        show_problem(exc)
        st.caption("Trying again every second…")
        return
    if job.state.is_final:
        st.rerun()
    with st.container(border=True, key="progress"):
        is_waiting = job.state is JobState.QUEUED or job.waits_for is not None
        st.subheader("Waiting" if is_waiting else "Looking for lesions")
        st.html(_steps(job))
        st.progress(job.progress.fraction if job.progress else 0.0, text=progress_text(job))
        st.caption(
            f"{elapsed_text(job, datetime.now(UTC))} · this page may be closed or reloaded; the job goes on."
        )
        if job.cancel_requested:
            st.info("Stopping at the next step…", icon=":material/hourglass_bottom:")
        elif st.button("Cancel", icon=":material/close:", key="cancel"):
            with readable_problems():
                client.cancel(job_id)
                st.rerun(scope="fragment")


def _steps(job: Job) -> str:
    """The stages as a list: done, now, to come."""
    order = list(Stage)
    now = -1 if job.progress is None else order.index(job.progress.stage)
    items = []
    for place, stage in enumerate(order):
        kind, mark = ("done", "✓ ") if place < now else ("now", "") if place == now else ("next", "")
        current = ' aria-current="step"' if kind == "now" else ""
        items.append(f'<li class="{kind}"{current}>{mark}{STAGES[stage]}</li>')
    return f'<ol class="metseg-steps">{"".join(items)}</ol>'


def _show_end(job: Job) -> None:
    if job.state is JobState.CANCELLED:
        st.info("This job was cancelled. Nothing of it was kept.", icon=":material/block:")
        return
    code = job.error.code if job.error else "job_failed"
    message = plain(sentence(job.error.message if job.error else "the job failed"))
    st.error(f"**This scan could not be segmented.** {message} (`{code}`)", icon=":material/error:")
    if hint_for(code):
        st.caption(hint_for(code))
