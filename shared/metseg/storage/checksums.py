"""Files known by their SHA-256."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from metseg.errors import StoreError
from metseg.storage.blob_store import BlobStore


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(digests: Iterable[str]) -> str:
    """One digest for files whose digests are given: of these in hexadecimal, one after the other."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def download_same(blobs: BlobStore, key: str, path: Path, sha256: str, *, otherwise: str) -> None:
    """Copy a blob into a file, and make sure that it is what it was.

    Args:
        blobs: Where it lies.
        key: Its name there.
        path: Where it is put.
        sha256: What it had when it was stored.
        otherwise: What is said if it has another one.

    Raises:
        BlobNotFoundError: It is not there.
        StoreError: It is something else by now.
    """
    blobs.download(key, path)
    if sha256_of(path) != sha256:
        raise StoreError(otherwise)
