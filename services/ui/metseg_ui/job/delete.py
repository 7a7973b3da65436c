"""Erasing a job, after a question."""

import streamlit as st

from metseg_client import MetsegClient
from metseg_ui.problems import readable_problems


def show_delete(client: MetsegClient, job_id: str) -> None:
    """The button that erases the job, behind one that asks."""
    with st.popover("Delete this job", icon=":material/delete:", key="delete"):
        st.write("The scan and all results are erased at once. This cannot be undone.")
        with readable_problems():
            if st.button("Delete for good", type="primary", key="delete-for-good"):
                client.delete(job_id)
                st.query_params.clear()
                st.session_state["notice"] = "The job, its scan and its results are deleted."
                st.rerun()
