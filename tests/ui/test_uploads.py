"""What visitors upload is limited for each visit and freed after it; Streamlit's metrics are closed."""

import asyncio
import socket
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from page import page_process
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from metseg_ui.uploads import KEPT_AFTER_VISIT_S, UploadLimit, free_uploads

LIMIT = 1 << 20
ENOUGH = b"x" * (LIMIT * 2 // 3)


@dataclass
class Pages:
    """Stands in for Streamlit's runtime: who is there, and who was closed."""

    there: set[str] = field(default_factory=set)
    closed: list[str] = field(default_factory=list)
    states: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def _session_mgr(self) -> "Pages":
        return self

    def get_session_info(self, session_id: str) -> SimpleNamespace:
        return SimpleNamespace(session=SimpleNamespace(session_state=self.states[session_id]))

    def is_active_session(self, session_id: str) -> bool:
        return session_id in self.there

    def close_session(self, session_id: str) -> None:
        self.closed.append(session_id)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
    manager = MemoryUploadedFileManager("/_stcore/upload_file")
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(uploaded_file_mgr=manager))
    return manager


def put_all(files: MemoryUploadedFileManager, *paths: str) -> list[int]:
    """Upload to all paths at once; the statuses in their order."""

    async def store(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)  # the other uploads come meanwhile
        _, _, _, session_id, file_id = scope["path"].split("/")
        files.add_file(session_id, UploadedFileRec(file_id, "scan", "image", ENOUGH))
        await Response(status_code=204)(scope, receive, send)

    async def send_them() -> list[int]:
        transport = httpx.ASGITransport(UploadLimit(store, LIMIT))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            answers = await asyncio.gather(*(client.put(path, content=ENOUGH) for path in paths))
        return [answer.status_code for answer in answers]

    return asyncio.run(send_them())


def test_the_files_of_one_visit_are_limited_together_also_at_once(files: MemoryUploadedFileManager) -> None:
    assert (
        sorted(put_all(files, *(f"/_stcore/upload_file/one/{number}" for number in range(8)))) == [204] + [413] * 7
    )
    assert put_all(files, "/_stcore/upload_file/one/another", "/_stcore/upload_file/two/first") == [413, 204]
    files.remove_session_files("one")
    assert put_all(files, "/_stcore/upload_file/one/again") == [204]


def test_the_files_of_a_visitor_who_left_are_freed_and_of_one_who_came_back_kept(
    files: MemoryUploadedFileManager,
) -> None:
    pages, gone_since = Pages(there={"there"}), {}
    pages.states = {session_id: {"form": "files"} for session_id in ("there", "left", "back")}
    for session_id in ("there", "left", "back"):
        files.add_file(session_id, UploadedFileRec("1", "scan", "image", b"voxels"))
    free_uploads(pages, files, gone_since, 0.0)
    pages.there.add("back")
    free_uploads(pages, files, gone_since, KEPT_AFTER_VISIT_S / 2)
    assert set(files.file_storage) == {"there", "left", "back"}
    free_uploads(pages, files, gone_since, KEPT_AFTER_VISIT_S)
    assert pages.closed == ["left"]
    assert [len(pages.states[one]) for one in ("there", "left", "back")] == [1, 0, 1]
    assert set(files.file_storage) == {"there", "back"}
    assert not gone_since


def test_a_running_page_closes_its_metrics_and_refuses_what_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METSEG_MAX_UPLOAD_BYTES", str(LIMIT))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = {"/_stcore/metrics": 0, "/_stcore/metrics/": 0, "/_stcore/upload_file/a/b": 2 * LIMIT}
    answers = []
    with page_process("http://127.0.0.1:9", port, tmp_path / "page.log"):
        for path, announced in asked.items():
            with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                connection.putrequest("PUT" if announced else "GET", path)
                connection.putheader("Content-Length", str(announced))
                connection.endheaders()
                answers.append(connection.getresponse().status)
    assert answers == [404, 404, 413]
