"""Problems as readable sentences; no traceback reaches the page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from metseg.errors import MetsegError
from metseg_client import ApiUnreachableError, ClientError
from metseg_ui.text import problem_text

_log = logging.getLogger(__name__)

_HINTS = {
    "api_unreachable": "The service may be starting or be down. Nothing is lost: accepted jobs go on.",
    "job_gone": "Results are kept for a limited time, or somebody deleted the job.",
    "job_not_found": "Check the address, or send the scan again.",
    "input_format_unknown": "metseg reads DICOM and NIfTI, pictures (PNG, JPEG, TIFF), and zip files of these.",
    "serving_unavailable": "The network is not loaded yet; try again in a minute.",
}


@contextmanager
def readable_problems() -> Iterator[None]:
    """Show what goes wrong inside as a message with a way to try again, and go on after it."""
    try:
        yield
    except (ClientError, MetsegError) as exc:
        _log.warning("shown to the user", extra={"code": exc.code})
        show_problem(exc)
        st.button("Try again", icon=":material/refresh:", key=f"retry-{exc.code}")


def show_problem(error: ClientError | MetsegError) -> None:
    """The problem with its code, and what can be done about it."""
    hint = hint_for(error.code)
    if isinstance(error, ApiUnreachableError):
        st.warning(f"**The metseg service does not answer.** {hint} (`{error.code}`)", icon=":material/cloud_off:")
    else:
        st.error(f"{problem_text(error)}\n\n{hint}".strip(), icon=":material/error:")


def hint_for(code: str) -> str:
    """A sentence on what to do; empty where the problem says it all."""
    return _HINTS.get(code, "")
