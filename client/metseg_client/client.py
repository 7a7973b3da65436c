"""`MetsegClient`: submit a scan, wait for it, take the result away."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from metseg.schemas.job import Artefact, Job
from metseg.schemas.report import Report
from metseg_client.errors import ApiError, ApiUnreachableError, DownloadError, WaitTimeoutError
from metseg_client.following import follow, job_path
from metseg_client.models import JobPage, Manifest, ModelList, ServedModel
from metseg_client.problems import parsed
from metseg_client.upload import Choices, Scan, file_parts
from metseg_client.wire import Patience, Wire

UPLOAD_ANSWER_S = 300.0  # the API answers an upload only when every byte is safe on its disk


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
        patience: how long a request waits for an API that tells when to come back; else the refusal is raised.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        api_key: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._wire = Wire(
            base_url,
            timeout_s=timeout_s,
            api_key=api_key,
            patience=patience or Patience(),
            transport=transport,
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
        self._wire.close()

    def ready(self) -> bool:
        """Whether the API and everything behind it can take a job now; False also if nobody answers."""
        try:
            with self._wire.stream("GET", "/readyz"):  # which asks once, however patient this client is
                return True
        except (ApiError, ApiUnreachableError):
            return False

    def models(self) -> list[ServedModel]:
        """The models a job can ask for, with their cards."""
        return parsed(self._wire.send("GET", "/v1/models"), ModelList).items

    def submit(
        self,
        scan: Scan,
        choices: Choices | None = None,
        *,
        previous_scan: Scan = (),
        idempotency_key: str | None = None,
    ) -> Job:
        """Send a scan; it is read piece by piece, and the names of its files are not sent.

        Args:
            scan: a path, a binary stream, or several of them: the files of a DICOM series.
            choices: what is asked for; the API's defaults where it is None.
            previous_scan: an earlier scan to compare with, segmented in the same job; none where it is empty.
            idempotency_key: a name for this upload; sent again under it, the scan is still one job.
        """
        timeout = httpx.Timeout(self._wire.timeout_s, read=max(UPLOAD_ANSWER_S, self._wire.timeout_s))
        with file_parts(file=scan, previous_file=previous_scan) as parts:
            answer = self._wire.send(
                "POST",
                "/v1/jobs",
                data=(choices or Choices()).fields(),
                files=parts,
                timeout=timeout,
                headers={} if idempotency_key is None else {"Idempotency-Key": idempotency_key},
            )
        return parsed(answer, Job)

    def job(self, job_id: str) -> Job:
        """The job as it stands now."""
        return parsed(self._wire.send("GET", job_path(job_id)), Job)

    def jobs(self, *, limit: int | None = None, cursor: str | None = None) -> JobPage:
        """A page of jobs, newest first; go on with its `next_cursor`."""
        given = {"limit": limit, "cursor": cursor}
        params = {name: value for name, value in given.items() if value is not None}
        return parsed(self._wire.send("GET", "/v1/jobs", params=params), JobPage)

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
        for job in follow(self._wire, job_id, until=time.monotonic() + timeout_s):
            if on_progress is not None:
                on_progress(job)
            if job.state.is_final:
                return job
        raise WaitTimeoutError(f"job {job_id} is not final after {timeout_s:g} s")

    def cancel(self, job_id: str) -> Job:
        """Ask for the job to stop; the worker does so at its next step."""
        return parsed(self._wire.send("POST", f"{job_path(job_id)}/cancel"), Job)

    def delete(self, job_id: str) -> None:
        """Erase the job with its upload and its results."""
        self._wire.send("DELETE", job_path(job_id))

    def result(self, job_id: str) -> Manifest:
        """The list of a succeeded job's artefacts."""
        return parsed(self._wire.send("GET", f"{job_path(job_id)}/result"), Manifest)

    def report(self, job_id: str) -> Report:
        """Lesions and measurements of a succeeded job."""
        return parsed(self._wire.send("GET", _artefact_path(job_id, "report.json")), Report)

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
        with self._wire.stream("GET", _artefact_path(job_id, entry.name)) as response:
            for chunk in response.iter_bytes():
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != entry.sha256:
            raise DownloadError(f"{entry.name} of job {job_id} does not match the SHA-256 of its manifest")


def _artefact_path(job_id: str, name: str) -> str:
    return f"{job_path(job_id)}/result/{quote(name, safe='')}"
