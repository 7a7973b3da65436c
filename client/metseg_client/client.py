"""`MetsegClient`: submit a scan, wait for it, take the result away."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote

import httpx

from metseg.jobs import Artefact, Job
from metseg.report import Report
from metseg_client.errors import AnswerError, ApiError, ApiUnreachableError, DownloadError, WaitTimeoutError
from metseg_client.models import JobPage, Manifest, ModelList, ServedModel
from metseg_client.problems import parsed, problem

UPLOAD_ANSWER_S = 300.0  # the API answers an upload only when every byte is safe on its disk
LONGEST_HOLD_S = 20
SHORTEST_POLL_S = 0.25


class MetsegClient:
    """Speak to one metseg API; may be used from several threads, and as a context manager.

    Proxies and passwords of the environment are not used: a scan goes to `base_url` and nowhere else.

    Every method raises `ApiError` where the API says no, `ApiUnreachableError` where nobody answers, and
    `AnswerError` where what answers is no metseg API.

    Args:
        base_url: where the API listens, e.g. `http://127.0.0.1:8000`.
        timeout_s: longest silence of the API before it counts as unreachable.
        transport: stands in for the network; for tests and for sites with their own certificates.
        api_key: sent with every request, where the API wants one.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        api_key: str | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout_s,
            transport=transport,
            trust_env=False,
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether the API and everything behind it can take a job now; False also if nobody answers."""
        try:
            self._send("GET", "/readyz")
        except (ApiError, ApiUnreachableError):
            return False
        return True

    def models(self) -> list[ServedModel]:
        """The models a job can ask for, with their cards."""
        return parsed(self._send("GET", "/v1/models"), ModelList).items

    def submit(
        self,
        file: Path | BinaryIO,
        *,
        model: str | None = None,
        threshold: float | None = None,
        spacing_mm: tuple[float, float] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Send a scan; it is read piece by piece, and its name is not sent.

        Args:
            file: a path, or a binary stream at its beginning (which stays open).
            model: name of a served model; None takes the API's default.
            threshold: probability above which a voxel is lesion, 0–1; None takes the model card's.
            spacing_mm: size of a pixel (across, down) in a picture; None where it is not known.
            idempotency_key: a name for this upload; sent again under it, the scan is still one job.
        """
        fields: dict[str, str] = {}
        if model is not None:
            fields["model"] = model
        if threshold is not None:
            fields["threshold"] = repr(float(threshold))
        if spacing_mm is not None:
            fields["spacing_mm"] = ",".join(repr(float(value)) for value in spacing_mm)
        timeout = httpx.Timeout(self._timeout_s, read=max(UPLOAD_ANSWER_S, self._timeout_s))
        with _opened(file) as stream:
            part = ("scan", stream, "application/octet-stream")
            headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
            files = {"file": part}
            answer = self._send("POST", "/v1/jobs", data=fields, files=files, timeout=timeout, headers=headers)
        return parsed(answer, Job)

    def job(self, job_id: str) -> Job:
        """The job as it stands now."""
        return parsed(self._send("GET", _job_path(job_id)), Job)

    def jobs(self, *, limit: int | None = None, cursor: str | None = None) -> JobPage:
        """A page of jobs, newest first; go on with its `next_cursor`."""
        given = {"limit": limit, "cursor": cursor}
        params = {name: value for name, value in given.items() if value is not None}
        return parsed(self._send("GET", "/v1/jobs", params=params), JobPage)

    def wait(
        self,
        job_id: str,
        *,
        on_progress: Callable[[Job], None] | None = None,
        timeout_s: float = 600.0,
    ) -> Job:
        """Wait until the job succeeded, failed or was cancelled.

        Args:
            job_id: the job.
            on_progress: called with the job as found, and again after each change.
            timeout_s: longest wait; the job goes on without us after that.

        Raises:
            WaitTimeoutError: the job is not final after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        etag: str | None = None
        while True:
            asked = time.monotonic()
            job, etag = self._changed_job(job_id, etag, hold_s=min(LONGEST_HOLD_S, deadline - asked))
            if job is not None and on_progress is not None:
                on_progress(job)
            if job is not None and job.state.is_final:
                return job
            now = time.monotonic()
            if now >= deadline:
                raise WaitTimeoutError(f"job {job_id} is not final after {timeout_s:g} s")
            time.sleep(min(max(asked + SHORTEST_POLL_S - now, 0), deadline - now))

    def cancel(self, job_id: str) -> Job:
        """Ask for the job to stop; the worker does so at its next step."""
        return parsed(self._send("POST", f"{_job_path(job_id)}/cancel"), Job)

    def delete(self, job_id: str) -> None:
        """Erase the job with its upload and its results."""
        self._send("DELETE", _job_path(job_id))

    def result(self, job_id: str) -> Manifest:
        """The list of a succeeded job's artefacts."""
        return parsed(self._send("GET", f"{_job_path(job_id)}/result"), Manifest)

    def report(self, job_id: str) -> Report:
        """Lesions and measurements of a succeeded job."""
        return parsed(self._send("GET", _artefact_path(job_id, "report.json")), Report)

    def fetch(self, job_id: str, name: str) -> bytes:
        """An artefact as bytes, checked against the manifest.

        Raises:
            DownloadError: there is no such artefact, or its bytes are not those of the manifest.
        """
        return b"".join(self._checked_chunks(job_id, self._entry(job_id, name)))

    def download(self, job_id: str, name: str, path: Path) -> Path:
        """Write an artefact to `path`, which appears only when whole and checked against the manifest.

        Raises:
            DownloadError: there is no such artefact, or its bytes are not those of the manifest.
        """
        part = path.with_name(path.name + ".part")
        entry = self._entry(job_id, name)
        try:
            with part.open("wb") as stream:
                for chunk in self._checked_chunks(job_id, entry):
                    stream.write(chunk)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _entry(self, job_id: str, name: str) -> Artefact:
        entry = self.result(job_id).artefact(name)
        if entry is None:
            raise DownloadError(f"job {job_id} has no artefact {name!r}")
        return entry

    def _checked_chunks(self, job_id: str, entry: Artefact) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with self._reachable(), self._http.stream("GET", _artefact_path(job_id, entry.name)) as response:
            _raise_for_problem(response)
            for chunk in response.iter_bytes():
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != entry.sha256:
            raise DownloadError(f"{entry.name} of job {job_id} does not match the SHA-256 of its manifest")

    def _changed_job(self, job_id: str, etag: str | None, *, hold_s: float) -> tuple[Job | None, str | None]:
        """The job if it is no longer the one behind `etag`, after at most `hold_s`; else None."""
        headers = {} if etag is None else {"If-None-Match": etag, "Prefer": f"wait={max(int(hold_s), 0)}"}
        timeout = httpx.Timeout(self._timeout_s, read=self._timeout_s + max(hold_s, 0))
        response = self._send("GET", _job_path(job_id), headers=headers, timeout=timeout)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None, etag
        return parsed(response, Job), response.headers.get("etag")

    def _send(self, method: str, path: str, **how: Any) -> httpx.Response:
        with self._reachable():
            response = self._http.request(method, path, **how)
        _raise_for_problem(response)
        return response

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.DecodingError) as exc:
            place = f"{self._http.base_url.scheme}://{self._http.base_url.netloc.decode()}"
            raise ApiUnreachableError(f"no answer from the metseg API at {place}") from exc


def _raise_for_problem(response: httpx.Response) -> None:
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return
    response.read()
    if response.is_error:
        raise problem(response)
    raise AnswerError(f"expected a metseg API, but {response.url.path} answers with {response.status_code}")


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _artefact_path(job_id: str, name: str) -> str:
    return f"{_job_path(job_id)}/result/{quote(name, safe='')}"


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, Path):
        with file.open("rb") as stream:
            yield stream
    else:
        yield file
