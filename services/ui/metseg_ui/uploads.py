"""Limits what a visit may hold in memory, frees it after the visit, and closes what only tells about visits.

Streamlit limits each file, but not the files of a visit together, and removes the files of a visitor who left only
when another one leaves later.
"""

import asyncio
import contextlib
import gc
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

UPLOAD: Final = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)/?")
CLOSED: Final = "/_stcore/metrics"
KEPT_AFTER_VISIT_S: Final = 120.0
"""So long a visit whose connection broke can be resumed with its files."""
SWEEP_EVERY_S: Final = 15.0
ENVELOPE_BYTES: Final = 1 << 16
"""What the multipart form around a file may add to its length."""

logger = logging.getLogger(__name__)


class ClosedRoutes:
    """Answers 404 for Streamlit's metrics, which tell anybody about visits and memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the closed route and pass on everything else."""
        if scope["type"] == "http" and scope["path"].rstrip("/") == CLOSED:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class UploadLimit:
    """Refuses an upload that would take the files of one visit together over a limit.

    Uploads that are still on their way count with their announced length, so several at once cannot pass.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._on_their_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reserve the length of an upload while it is received."""
        found = UPLOAD.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        session_id, file_id = found.groups()
        length = dict(scope["headers"]).get(b"content-length", b"").decode("latin-1")
        if not length.isdecimal():
            await PlainTextResponse("expected a Content-Length", 411)(scope, receive, send)
            return
        reserved = int(length)
        held = _held_bytes(_files(), session_id, but=file_id) + self._on_their_way[session_id]
        if held + reserved > self._max_bytes + ENVELOPE_BYTES:
            words = f"the files of one visit may have {self._max_bytes} bytes together, and it holds {held}"
            await PlainTextResponse(words, 413)(scope, receive, send)
            return
        self._on_their_way[session_id] += reserved
        try:
            await self._app(scope, receive, send)
        finally:
            self._on_their_way[session_id] -= reserved
            if not self._on_their_way[session_id]:
                del self._on_their_way[session_id]


@asynccontextmanager
async def freeing_uploads(_app: object) -> AsyncIterator[None]:
    """Free the files of visitors who left, as long as the page runs."""
    task = asyncio.create_task(_sweep(), name="free uploads")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _sweep() -> None:
    gone_since: dict[str, float] = {}
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            free_uploads(runtime.get_instance(), _files(), gone_since, time.monotonic())
        except Exception:
            logger.exception("The files of visitors who left could not be freed; trying again.")


def free_uploads(
    pages: Runtime, files: MemoryUploadedFileManager, gone_since: dict[str, float], now: float
) -> None:
    """Close the visits that hold files and have been left for `KEPT_AFTER_VISIT_S`.

    Args:
        pages: Knows who is there.
        files: Holds the files of all visits.
        gone_since: When each visitor was first seen to be gone; brought up to date.
        now: Seconds on the clock of `gone_since`.
    """
    gone = [session_id for session_id in list(files.file_storage) if not pages.is_active_session(session_id)]
    for session_id in gone_since.keys() - gone:
        del gone_since[session_id]
    left = [one for one in gone if now - gone_since.setdefault(one, now) >= KEPT_AFTER_VISIT_S]
    for session_id in left:
        # Streamlit's idle loop refers to the last visit, so closing it would not free what its form holds.
        visit = pages._session_mgr.get_session_info(session_id)
        if visit is not None:
            visit.session.session_state.clear()
        pages.close_session(session_id)
        files.remove_session_files(session_id)
        del gone_since[session_id]
    if left:
        gc.collect()  # a closed visit refers to itself, and its form to the files


def _held_bytes(files: MemoryUploadedFileManager, session_id: str, *, but: str) -> int:
    held = files.file_storage.get(session_id, {})
    return sum(len(file.data) for file_id, file in list(held.items()) if file_id != but)


def _files() -> MemoryUploadedFileManager:
    files = runtime.get_instance().uploaded_file_mgr
    assert isinstance(files, MemoryUploadedFileManager)
    return files
