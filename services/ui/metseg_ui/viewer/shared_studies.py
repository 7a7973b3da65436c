"""One copy of each study for all visits, and the addresses under which a visit's browser gets the voxels.

An address names a visit and a job by a random token: it is good as long as the visit lasts, and nobody can guess
one. The key of the API never leaves the server.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from metseg_ui.viewer.packing import PackedArray, ViewedStudy

KEPT_BYTES: Final = 512 << 20
"""Studies beyond this are dropped, those that were looked at longest ago first."""

Load = Callable[[], ViewedStudy]


class SharedStudies:
    """Loads studies, each once for all who wait for it; may be used from several threads."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._studies: OrderedDict[str, ViewedStudy] = OrderedDict()

    def get(self, job_id: str, load: Load) -> ViewedStudy:
        """The study of a job; what `load` raises is raised to everybody who asks next."""
        with self._lock:
            own = self._loading.setdefault(job_id, threading.Lock())
        with own:
            study = self.known(job_id)
            if study is None:
                study = load()
                self._keep(job_id, study)
        with self._lock:
            self._loading.pop(job_id, None)
        return study

    def known(self, job_id: str) -> ViewedStudy | None:
        """The study, if it is here."""
        with self._lock:
            if job_id in self._studies:
                self._studies.move_to_end(job_id)
            return self._studies.get(job_id)

    def _keep(self, job_id: str, study: ViewedStudy) -> None:
        with self._lock:
            self._studies[job_id] = study
            held = sum(one.size_bytes for one in self._studies.values())
            while len(self._studies) > 1 and held > self._kept_bytes:
                held -= self._studies.popitem(last=False)[1].size_bytes


class Addresses:
    """Tokens of visits; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: dict[str, tuple[str, str]] = {}

    def token(self, visit: str, job_id: str) -> str:
        """The token under which a visit gets the voxels of a job."""
        with self._lock:
            for token, of in self._visits.items():
                if of == (visit, job_id):
                    return token
            token = secrets.token_urlsafe(24)
            self._visits[token] = visit, job_id
            return token

    def job_of(self, token: str, is_open: Callable[[str], bool]) -> str | None:
        """The job of a token, if its visit is still open."""
        with self._lock:
            visit, job_id = self._visits.get(token, (None, None))
        return job_id if visit is not None and is_open(visit) else None

    def drop_closed(self, is_open: Callable[[str], bool]) -> None:
        """Forget the tokens of visits that have ended."""
        with self._lock:
            self._visits = {token: of for token, of in self._visits.items() if is_open(of[0])}


STUDIES = SharedStudies()
ADDRESSES = Addresses()


def voxels(study: ViewedStudy, name: str) -> PackedArray | None:
    """An array by the last part of its address."""
    return {"scan": study.scan, "labels": study.labels}.get(name)
