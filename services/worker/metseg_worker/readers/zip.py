"""Unpacks zip files within limits, into files named by number.

An entry's name decides nothing but whether it is skipped, so that no name can lead anywhere; what a directory of
the zip says of its entries is checked before and counted while they are unpacked. A zip file within another stays
packed.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from metseg.errors import DamagedInputError, InputTooLargeError, UnsupportedInputError
from metseg_worker.readers.dicom.prefix import PREFIX, PREFIX_AT

ZIP_START: Final = (b"PK\3\4", b"PK\5\6")
ENCRYPTED: Final = 0x1
CHUNK_BYTES: Final = 1 << 20
SKIPPED: Final = ("__MACOSX/", "DICOMDIR")


@dataclass(frozen=True)
class UnpackLimits:
    """What the zip files of one upload may unpack to.

    Attributes:
        entries: Files in all.
        directory_bytes: Size of a zip's directory, which is read whole; no more than this is read at once.
        entry_bytes: One file.
        total_bytes: All files.
        ratio: What unpacks to more times its packed size is left out, unless it is DICOM: deflate reaches 1032,
            images stay below 20, segmentations and other sparse objects do not.
        free_bytes: Up to this size the ratio is not looked at.
    """

    entries: int = 10_000
    directory_bytes: int = 4 << 20
    entry_bytes: int = 1 << 30
    total_bytes: int = 2 << 30
    ratio: int = 200
    free_bytes: int = 1 << 20


@dataclass(frozen=True)
class Unpacked:
    """What was sent, with the contents of each zip file in its place.

    Attributes:
        files: In their order; one may be a zip file that lay within another.
        too_dense: How many entries were left out as they unpack to far more than images do.
    """

    files: list[Path]
    too_dense: int


def unpack(paths: Sequence[Path], folder: Path, limits: UnpackLimits = UnpackLimits()) -> Unpacked:
    """Unpack zip files.

    Args:
        paths: Files that came, some of which may be zip files.
        folder: Made here, where there is something to unpack.
        limits: What may come out.

    Raises:
        InputTooLargeError: More would come out than is allowed, or nothing but what is too dense.
        DamagedInputError: A zip file breaks off, or its sums are wrong.
        UnsupportedInputError: An entry is encrypted or packed by another method than deflate.
    """
    folder.mkdir()
    files: list[Path] = []
    left = _Left(limits)
    for path in paths:
        if not is_zip(path):
            files.append(path)
            continue
        try:
            files += _entries_of(path, folder, left)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
            ValueError,
            ArithmeticError,
            struct.error,
        ) as exc:
            raise DamagedInputError("expected a whole zip file, but it breaks off or is damaged") from exc
    if left.too_dense and not files:
        raise InputTooLargeError(
            "expected a zip file of images, got entries that unpack to far more than images do"
        )
    return Unpacked(files, left.too_dense)


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip file does."""
    with path.open("rb") as file:
        return file.read(4) in ZIP_START


class _Left:
    """Counts down what may still come out."""

    def __init__(self, limits: UnpackLimits) -> None:
        self.limits = limits
        self.too_dense = 0
        self._bytes, self._entries = limits.total_bytes, limits.entries

    def take_entry(self) -> int:
        """Count one more file; its number from 1."""
        self._entries -= 1
        if self._entries < 0:
            raise InputTooLargeError(f"expected at most {self.limits.entries} files in zip files, got more")
        return self.limits.entries - self._entries

    def take_bytes(self, count: int) -> None:
        """Count bytes that came out."""
        self._bytes -= count
        if self._bytes < 0:
            raise InputTooLargeError(f"expected zip files of {self.limits.total_bytes} bytes at most, got more")


class _BoundedReader(io.BufferedReader):
    """Refuses to read more at once than a directory may have.

    `zipfile` reads the directory in one piece, of the size that an end record claims. There are two kinds of end
    records, which may contradict each other, so the limit holds for what is really read.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        super().__init__(path.open("rb", buffering=0))
        self._most_bytes = most_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._most_bytes:
            raise InputTooLargeError(
                f"expected a zip file whose directory has {self._most_bytes} bytes at most, got {size}"
            )
        return super().read(size)


def _entries_of(path: Path, folder: Path, left: _Left) -> Iterator[Path]:
    limits = left.limits
    with _BoundedReader(path, limits.directory_bytes) as raw, zipfile.ZipFile(raw) as archive:
        entries = [entry for entry in archive.infolist() if not _is_skipped(entry)]
        if len(entries) > limits.entries:
            raise InputTooLargeError(f"expected at most {limits.entries} files in zip files, got {len(entries)}")
        for entry in entries:
            _check_entry(entry)
            with archive.open(entry) as packed:
                start = packed.read(PREFIX_AT + len(PREFIX))
                if _is_dense(entry, limits) and start[PREFIX_AT:] != PREFIX:
                    left.too_dense += 1
                    continue
                target = folder / f"{left.take_entry():05d}"
                with target.open("wb") as file:
                    _copy(start, packed, file, left)
            yield target


def _is_skipped(entry: zipfile.ZipInfo) -> bool:
    """Whether it is a folder, a link, or what systems put beside the files."""
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    is_folder = entry.filename.endswith("/")  # `is_dir` fails where a name is empty
    return is_folder or is_link or entry.filename.startswith(SKIPPED) or entry.filename.endswith("/DICOMDIR")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & ENCRYPTED:
        raise UnsupportedInputError("expected a zip file without a password, got an encrypted one")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedInputError("expected a zip file packed by deflate, got another method")
    if entry.header_offset < 0:
        raise DamagedInputError("expected a whole zip file, but its directory leads nowhere")


def _is_dense(entry: zipfile.ZipInfo, limits: UnpackLimits) -> bool:
    return entry.file_size > max(limits.free_bytes, entry.compress_size * limits.ratio)


def _copy(start: bytes, packed: IO[bytes], file: IO[bytes], left: _Left) -> None:
    """Write an entry of which the start was read before."""
    left_of_entry, chunk = left.limits.entry_bytes, start
    while chunk:
        left_of_entry -= len(chunk)
        if left_of_entry < 0:
            raise InputTooLargeError(
                f"expected files of {left.limits.entry_bytes} bytes at most in a zip file, got a larger one"
            )
        left.take_bytes(len(chunk))
        file.write(chunk)
        chunk = packed.read(CHUNK_BYTES)
