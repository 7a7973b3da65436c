"""Asks which of several DICOM series is meant, where a job ended for want of knowing, and sends the scan again."""

import streamlit as st

from metseg.schemas.job import Failure, FoundSeries, Job
from metseg_client import MetsegClient
from metseg_ui.problems import readable_problems
from metseg_ui.submit.form import PREVIOUS_SERIES, SERIES
from metseg_ui.submit.send import fresh, held, send


def show_series_choice(client: MetsegClient, job: Job, error: Failure) -> None:
    """Draw the choice; the files need not be chosen again as long as the visit lasts that sent them."""
    scan = "earlier scan" if error.of_previous else "scan"
    with st.container(border=True, key="series-choice"):
        chosen = st.radio(f"Which series of the {scan} is to be segmented?", error.series, format_func=series_text)
        draft = held(job.id)
        if draft is None:
            st.caption("The files have to be chosen once more, for this visit did not send them.")
        pressed = st.button(
            "Choose the files" if draft is None else "Segment this series",
            type="primary",
            icon=":material/search:",
            key="use-series",
        )
    if pressed and draft is None:
        st.session_state[fresh(PREVIOUS_SERIES if error.of_previous else SERIES)] = chosen.uid
        st.query_params.clear()
        st.rerun()
    elif pressed and draft is not None:
        with readable_problems(), st.spinner("Sending the scan…"):
            send(client, draft.of_series(chosen.uid, of_previous=error.of_previous))


def series_text(series: FoundSeries) -> str:
    """A series in words, e.g. `Series 4: T1 with contrast agent, 176 images`."""
    name = "Series without a number" if series.number is None else f"Series {series.number}"
    agent = {True: " with contrast agent", False: " without contrast agent", None: ""}[series.has_agent]
    kind = f"T1{agent}" if series.is_t1 else "other than T1"
    return f"{name}: {kind}, {series.images} image{'' if series.images == 1 else 's'}"
