"""One scan from its files to results, taken up again where it was left when it is interrupted."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from metseg.schemas.job import Artefact, Job, JobState, Schema
from metseg_client.client import MetsegClient
from metseg_client.errors import ApiError, NoFileError
from metseg_client.upload import Choices

NOTE = "metseg-job.json"
GONE = ("job_gone", "job_not_found")


class Asked(Schema):
    """What is asked for; `sha256` are those of the scan's files, `previous_sha256` of the earlier scan's."""

    sha256: list[str]
    previous_sha256: list[str] = []
    choices: Choices


class Note(Schema):
    """What is kept beside the results: the key goes with the upload, so that no scan becomes two jobs."""

    asked: Asked
    key: str
    job_id: str | None = None


class SegmentSession:
    """A scan and the folder that its results go to.

    Args:
        client: The API.
        scan: Its files; their names are not sent.
        previous_scan: Those of an earlier scan to compare with; none where there is none.
        folder: For the results, and the note by which an interrupted session is resumed; created if missing.
    """

    def __init__(
        self, client: MetsegClient, scan: Sequence[Path], folder: Path, *, previous_scan: Sequence[Path] = ()
    ) -> None:
        self._client = client
        self._scan = scan
        self._previous_scan = previous_scan
        self._folder = folder

    def run(self, choices: Choices, on_progress: Callable[[Job], None], timeout_s: float) -> Job:
        """Send the scan, unless that was done before, wait for its end, and fetch the results that are missing.

        Raises:
            ClientError: The API says no or does not answer, or the job is not final after `timeout_s`.
        """
        asked = Asked(
            sha256=[file_sha256(file) for file in self._scan],
            previous_sha256=[file_sha256(file) for file in self._previous_scan],
            choices=choices,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        job = self._client.wait(self._job_id(asked), on_progress=on_progress, timeout_s=timeout_s)
        if job.state is JobState.SUCCEEDED:
            for artefact in self._client.result(job.id).artefacts:
                self._fetch(job.id, artefact)
        return job

    def _job_id(self, asked: Asked) -> str:
        note = self._noted(asked)
        if note.job_id is not None:
            return note.job_id
        self._write(note)  # before the upload: should the answer get lost, the key finds the job again
        job = self._client.submit(
            self._scan, asked.choices, previous_scan=self._previous_scan, idempotency_key=note.key
        )
        self._write(note.model_copy(update={"job_id": job.id}))
        return job.id

    def _noted(self, asked: Asked) -> Note:
        """The note of an earlier run that asked for the same and may still end well, else a fresh one."""
        fresh = Note(asked=asked, key=str(uuid4()))
        try:
            note = Note.model_validate_json((self._folder / NOTE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return fresh
        if note.asked != asked or (note.job_id is not None and not self._may_end_well(note.job_id)):
            return fresh
        return note

    def _may_end_well(self, job_id: str) -> bool:
        try:
            return self._client.job(job_id).state not in (JobState.FAILED, JobState.CANCELLED)
        except ApiError as exc:
            if exc.code in GONE:
                return False
            raise

    def _fetch(self, job_id: str, artefact: Artefact) -> None:
        path = self._folder / artefact.name
        if not path.is_file() or file_sha256(path) != artefact.sha256:
            self._client.download(job_id, artefact.name, path)

    def _write(self, note: Note) -> None:
        temporary = self._folder / f".{NOTE}.part"
        temporary.write_text(note.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._folder / NOTE)


def scan_files(paths: Iterable[Path]) -> list[Path]:
    """The files of a scan in a fixed order: those named, and all in the folders named but hidden ones.

    Raises:
        NoFileError: there are none.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(filter(_is_visible_file, path.rglob("*"))) if path.is_dir() else [path]
    if not files:
        raise NoFileError("expected the files of a scan, and there is none in the folder")
    return files


def _is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def file_sha256(path: Path) -> str:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
