"""The blob store: whole files under keys, in a local folder or an object store.

A key is a path of plain names joined by `/`. A blob is visible only when it is whole; what `put…` or a writer has
returned from is durable.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from metseg.errors import StoreError

CHUNK_BYTES = 1 << 20

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class BlobWriter(Protocol):
    """Takes a blob piece by piece."""

    def write(self, data: bytes, /) -> object:
        """Append bytes."""


class BlobStore(Protocol):
    """Where uploads, job records and results live.

    Every method may raise `StoreUnavailableError`; a key that is no plain path raises `StoreError`.
    """

    is_remote: bool
    """Whether an answer takes a way over the network, so that many are better asked for at the same time."""

    def put(self, key: str, data: bytes) -> None:
        """Write a blob whole, in place of one that may be there."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a blob unless there is one; among many at once exactly one gets True."""

    def put_file(self, key: str, path: Path) -> None:
        """Write a blob from a local file."""

    def writer(self, key: str) -> AbstractContextManager[BlobWriter]:
        """Write piece by piece: the blob is there after a clean exit, and nothing is after an exception."""

    def get(self, key: str) -> bytes:
        """Read a blob whole.

        Raises:
            BlobNotFoundError: there is none.
        """

    def size(self, key: str) -> int:
        """Bytes of a blob.

        Raises:
            BlobNotFoundError: there is none.
        """

    def chunks(
        self, key: str, chunk_bytes: int = CHUNK_BYTES, *, begin: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Read a blob, or the bytes from `begin` up to but without `end`, piece by piece.

        Args:
            key: The blob.
            chunk_bytes: Size of the pieces, about.
            begin: First byte; only what is asked for is read.
            end: The byte after the last one; None for the blob's end.

        Raises:
            BlobNotFoundError: there is none; raised at the first piece.
        """

    def download(self, key: str, path: Path) -> None:
        """Copy a blob into a local file.

        Raises:
            BlobNotFoundError: there is none.
            OSError: the file cannot be written.
        """

    def names(self, prefix: str) -> list[str]:
        """Names right below a prefix, of blobs and of folders, sorted; empty if there are none."""

    def delete(self, prefix: str) -> None:
        """Erase the blob of that key and all below it; what is not there is no error."""

    def sweep(self, prefix: str, *, older_than_s: float = 0) -> None:
        """Remove what writers that died left half-written below a prefix.

        Nobody may be writing there what was begun so long ago.
        """

    def free_bytes(self) -> int | None:
        """Room that is left; None where nobody can tell."""

    def check(self) -> None:
        """Make sure that the store can be written.

        Raises:
            StoreUnavailableError: it cannot.
        """


def write_pieces(path: Path, pieces: Iterator[bytes]) -> None:
    """Write the pieces of a blob into a local file, which is made once the first has come.

    Raises:
        OSError: The file cannot be written; that is no error of the store.
    """
    first = next(pieces, b"")
    with path.open("wb") as file:
        file.write(first)
        file.writelines(pieces)


def checked_key(key: str) -> str:
    """The key itself, if it is a plain path: no empty, hidden or parent part.

    Raises:
        StoreError: it is not.
    """
    if not _KEY.fullmatch(key):
        raise StoreError("expected a key of plain names joined by '/'")
    return key
