"""Unpacks zip files within limits, into files named by number.

An entry's name decides nothing but whether it is skipped, so that no name can lead anywhere; what a directory of
the zip says of its entries is checked before and counted while they are unpacked.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from metseg.errors import DamagedInputError, InputTooLargeError, UnsupportedInputError

ZIP_START: Final = (b"PK\3\4", b"PK\5\6")
END_OF_DIRECTORY: Final = b"PK\5\6"
END_BYTES: Final = 22 + 0xFFFF
"""APPNOTE, 4.3.16: the end record and its longest comment."""
ENCRYPTED: Final = 0x1
CHUNK_BYTES: Final = 1 << 20
SKIPPED: Final = ("__MACOSX/", "DICOMDIR")


@dataclass(frozen=True)
class UnpackLimits:
    """What the zip files of one upload may unpack to.

    Attributes:
        entries: Files in all.
        directory_bytes: Size of a zip's directory, which is read whole.
        entry_bytes: One file.
        total_bytes: All files.
        ratio: An entry may unpack to so many times its packed size; deflate reaches 1032, images stay below 20.
        free_bytes: Up to this size the ratio is not looked at.
    """

    entries: int = 10_000
    directory_bytes: int = 4 << 20
    entry_bytes: int = 1 << 30
    total_bytes: int = 2 << 30
    ratio: int = 200
    free_bytes: int = 1 << 20


def unpacked(paths: Sequence[Path], folder: Path, limits: UnpackLimits = UnpackLimits()) -> list[Path]:
    """The files as they are, and in place of each zip file what it holds.

    Args:
        paths: Files that came.
        folder: Made here, where there is something to unpack.
        limits: What may come out.

    Raises:
        InputTooLargeError: more would come out than is allowed.
        DamagedInputError: a zip file breaks off, or its sums are wrong.
        UnsupportedInputError: an entry is encrypted, packed by another method than deflate, or a zip file itself.
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
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as exc:
            raise DamagedInputError("expected a whole zip file, but it breaks off or is damaged") from exc
    return files


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip file does."""
    with path.open("rb") as file:
        return file.read(4) in ZIP_START


class _Left:
    """Counts down what may still come out."""

    def __init__(self, limits: UnpackLimits) -> None:
        self.limits = limits
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


def _entries_of(path: Path, folder: Path, left: _Left) -> Iterator[Path]:
    _check_directory(path, left.limits)
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if _is_skipped(entry):
                continue
            _check_entry(entry, left.limits)
            target = folder / f"{left.take_entry():05d}"
            with archive.open(entry) as packed, target.open("wb") as file:
                _copy(packed, file, _most_bytes(entry, left.limits), left)
            if is_zip(target):
                raise UnsupportedInputError("expected a zip file of images, got a zip file within it")
            yield target


def _check_directory(path: Path, limits: UnpackLimits) -> None:
    """Look at the end record before the directory is read whole."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - END_BYTES, 0))
        end = file.read()
    at = end.rfind(END_OF_DIRECTORY)
    if at < 0 or at + 16 > len(end):
        raise DamagedInputError("expected a whole zip file, but its directory is missing")
    entries = int.from_bytes(end[at + 10 : at + 12], "little")
    directory_bytes = int.from_bytes(end[at + 12 : at + 16], "little")
    if entries > limits.entries or directory_bytes > limits.directory_bytes:
        raise InputTooLargeError(f"expected at most {limits.entries} files in zip files, got more")


def _is_skipped(entry: zipfile.ZipInfo) -> bool:
    """Whether it is a folder, a link, or what systems put beside the files."""
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    return entry.is_dir() or is_link or entry.filename.startswith(SKIPPED) or entry.filename.endswith("/DICOMDIR")


def _check_entry(entry: zipfile.ZipInfo, limits: UnpackLimits) -> None:
    if entry.flag_bits & ENCRYPTED:
        raise UnsupportedInputError("expected a zip file without a password, got an encrypted one")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedInputError("expected a zip file packed by deflate, got another method")
    if entry.header_offset < 0:
        raise DamagedInputError("expected a whole zip file, but its directory leads nowhere")
    if entry.file_size > _most_bytes(entry, limits):
        raise _too_dense()


def _most_bytes(entry: zipfile.ZipInfo, limits: UnpackLimits) -> int:
    return min(limits.entry_bytes, max(limits.free_bytes, entry.compress_size * limits.ratio))


def _too_dense() -> InputTooLargeError:
    return InputTooLargeError(
        "expected a zip file of images, got an entry that unpacks to far more than images do"
    )


def _copy(packed: IO[bytes], file: IO[bytes], most_bytes: int, left: _Left) -> None:
    while chunk := packed.read(CHUNK_BYTES):
        most_bytes -= len(chunk)
        if most_bytes < 0:
            raise _too_dense()
        left.take_bytes(len(chunk))
        file.write(chunk)
