"""Sends what was dropped on the page, and holds it in case it must be told which of several series is meant."""

from dataclasses import dataclass, replace

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from metseg_client import Choices, MetsegClient

HELD, SENT = "held-draft", "sent"
UPLOADS = "uploads"
"""In the session: the draft of the last job, the job of each draft, and how many were sent."""


@dataclass(frozen=True)
class Draft:
    """A scan with what is asked for, and an earlier scan to compare with; no file where there is none."""

    files: tuple[UploadedFile, ...]
    previous_files: tuple[UploadedFile, ...]
    choices: Choices

    def of_series(self, uid: str, *, of_previous: bool) -> "Draft":
        """The same, with one DICOM series named."""
        field = "previous_series_uid" if of_previous else "series_uid"
        return replace(self, choices=self.choices.model_copy(update={field: uid}))

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two drafts the same."""
        ids = (tuple(file.file_id for file in files) for files in (self.files, self.previous_files))
        return *ids, self.choices


def send(client: MetsegClient, draft: Draft) -> None:
    """Send a scan and go to its job's page; a second click for the same draft leads to the same job.

    Raises:
        ClientError: the API cannot be asked, or refuses the scan.
    """
    state = st.session_state
    sent: dict[object, str] = state.setdefault(SENT, {})
    if draft.key not in sent:
        for file in (*draft.files, *draft.previous_files):
            file.seek(0)
        sent[draft.key] = client.submit(draft.files, draft.choices, previous_scan=draft.previous_files).id
    _, before = state.get(HELD, ("", None))
    if before is not None and before.key[:2] != draft.key[:2]:
        _free(before)
    state[HELD] = sent[draft.key], draft
    state[UPLOADS] = state.get(UPLOADS, 0) + 1
    st.query_params["job"] = sent[draft.key]
    st.rerun()


def held(job_id: str) -> Draft | None:
    """What a job was made of, if it was the last one that this visit sent."""
    held_for, draft = st.session_state.get(HELD, ("", None))
    return draft if held_for == job_id else None


def let_go(job_id: str) -> None:
    """Hold the files of a job no longer."""
    draft = held(job_id)
    if draft is not None:
        _free(draft)
        del st.session_state[HELD]


def _free(draft: Draft) -> None:
    """Take the files of a draft out of Streamlit's memory, where they would stay until the visit ends."""
    visit = get_script_run_ctx()
    if visit is not None and isinstance(visit.uploaded_file_mgr, MemoryUploadedFileManager):
        for file in (*draft.files, *draft.previous_files):
            visit.uploaded_file_mgr.remove_file(visit.session_id, file.file_id)


def fresh(name: str) -> str:
    """The key of a field that is empty again after each upload."""
    return f"{name}-{st.session_state.get(UPLOADS, 0)}"
