"""A scan on its way to the API: what is chosen for it, and its files, read piece by piece."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from metseg.schemas.job import Priority, Schema

Scan = Path | BinaryIO | Sequence[Path | BinaryIO]
"""A file, a binary stream at its beginning (which stays open), or the several files of a DICOM series."""


class Choices(Schema):
    """What is asked for; what is None is left to the API.

    Attributes:
        model: name of a served model.
        threshold: probability above which a voxel is lesion, 0–1; else the model card's.
        spacing_mm: size of a pixel (across, down) in a picture.
        series_uid: which series to segment, where DICOM files hold several.
        priority: `urgent` goes before all routine jobs that wait.
        webhook_url: an https address that is told when the job has ended.
        previous: ids of earlier jobs to compare with, the baseline first.
        previous_series_uid: which series of an earlier scan that is sent along.
        label: what the scan is to be called; kept with the job.
    """

    model: str | None = None
    threshold: float | None = None
    spacing_mm: tuple[float, float] | None = None
    series_uid: str | None = None
    priority: Priority | None = None
    webhook_url: str | None = None
    previous: tuple[str, ...] = ()
    previous_series_uid: str | None = None
    label: str | None = None

    def fields(self) -> dict[str, str]:
        """The fields of the form; what is None is not sent."""
        given = {
            "model": self.model,
            "threshold": None if self.threshold is None else repr(float(self.threshold)),
            "spacing_mm": None
            if self.spacing_mm is None
            else ",".join(repr(float(one)) for one in self.spacing_mm),
            "series_uid": self.series_uid,
            "priority": None if self.priority is None else self.priority.value,
            "webhook_url": self.webhook_url,
            "previous": ",".join(self.previous) or None,
            "previous_series_uid": self.previous_series_uid,
            "label": self.label,
        }
        return {name: value for name, value in given.items() if value is not None}


Part = tuple[str, tuple[str, "BinaryIO | LazyFile", str]]


@contextmanager
def file_parts(**scans: Scan) -> Iterator[list[Part]]:
    """The parts of the form, by their names, which hold the files of scans without their own names.

    Files that were given by their path are closed at the end, also when an upload breaks off amid one.
    """
    named = [
        (name, file) for name, scan in scans.items() for file in (scan if isinstance(scan, Sequence) else [scan])
    ]
    with ExitStack() as opened:
        parts: list[Part] = []
        for name, file in named:
            stream = opened.enter_context(closing(LazyFile(file))) if isinstance(file, Path) else file
            parts.append((name, ("scan", stream, "application/octet-stream")))
        yield parts


class LazyFile:
    """A file that is open only while it is read, so that a series of thousands needs one descriptor."""

    def __init__(self, path: Path) -> None:
        """Take the file's path and size.

        Raises:
            OSError: the file cannot be read.
        """
        self._path = path
        self._size = path.stat().st_size
        self._at = 0
        self._stream: BinaryIO | None = None

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end, where the file is closed."""
        if self._stream is None:
            self._stream = self._path.open("rb")
            self._stream.seek(self._at)
        piece = self._stream.read(size)
        self._at += len(piece)
        if not piece:
            self.close()
        return piece

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go on at another place, told from the beginning or, with `os.SEEK_END`, from the end."""
        self.close()
        self._at = offset + (self._size if whence == os.SEEK_END else 0)
        return self._at

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
