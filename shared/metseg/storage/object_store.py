"""A blob store in an object store (S3 and what speaks like it), through obstore.

The object store itself makes whole and durable puts; put-if-absent is its conditional write.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError

from metseg.errors import BlobNotFoundError, StoreUnavailableError
from metseg.storage.blob_store import CHUNK_BYTES, checked_key, write_pieces

IN_MEMORY_BYTES = 8 << 20


class ObjectStore:
    """See `metseg.storage.blob_store.BlobStore`."""

    is_remote = True

    def __init__(self, url: str) -> None:
        """Open the store at a URL; credentials and region come from the environment, as for other S3 tools.

        Raises:
            StoreUnavailableError: the URL cannot be used.
        """
        with _translated("be opened"):
            self._store = obstore.store.from_url(url)

    def put(self, key: str, data: bytes) -> None:
        """Write a blob whole, in place of one that may be there."""
        with _translated("write"):
            obstore.put(self._store, checked_key(key), data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a blob unless there is one; among many at once exactly one gets True."""
        with _translated("write"):
            try:
                obstore.put(self._store, checked_key(key), data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def put_file(self, key: str, path: Path) -> None:
        """Write a blob from a local file."""
        with _translated("write"):
            obstore.put(self._store, checked_key(key), path)

    @contextmanager
    def writer(self, key: str) -> Iterator[IO[bytes]]:
        """Write piece by piece: the blob is there after a clean exit, and nothing is after an exception.

        The pieces wait in memory, beyond 8 MiB in an unnamed temporary file, since an object store cannot take
        back an upload that was begun and not finished without leaving parts behind.
        """
        with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
            yield file
            file.seek(0)
            with _translated("write"):
                obstore.put(self._store, checked_key(key), file)

    def get(self, key: str) -> bytes:
        """Read a blob whole."""
        with _translated("read"):
            return bytes(obstore.get(self._store, checked_key(key)).bytes())

    def size(self, key: str) -> int:
        """Bytes of a blob."""
        with _translated("read"):
            return int(obstore.head(self._store, checked_key(key))["size"])

    def chunks(
        self, key: str, chunk_bytes: int = CHUNK_BYTES, *, begin: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Read a blob, or the bytes from `begin` up to but without `end`, piece by piece."""
        if end is not None and end <= begin:
            return
        with _translated("read"):
            if end is not None:
                found = obstore.get(self._store, checked_key(key), options={"range": (begin, end)})
            elif begin:
                found = obstore.get(self._store, checked_key(key), options={"range": {"offset": begin}})
            else:
                found = obstore.get(self._store, checked_key(key))
            for piece in found.stream(min_chunk_size=chunk_bytes):
                yield bytes(piece)

    def download(self, key: str, path: Path) -> None:
        """Copy a blob into a local file."""
        write_pieces(path, self.chunks(key))

    def names(self, prefix: str) -> list[str]:
        """Names right below a prefix, of blobs and of folders, sorted."""
        with _translated("list"):
            found = obstore.list_with_delimiter(self._store, checked_key(prefix))
        blobs = [blob["path"] for blob in found["objects"]]
        return sorted(path.rsplit("/", 1)[-1] for path in [*blobs, *found["common_prefixes"]])

    def delete(self, prefix: str) -> None:
        """Erase the blob of that key and all below it."""
        with _translated("erase"):
            keys = [blob["path"] for batch in obstore.list(self._store, checked_key(prefix)) for blob in batch]
            try:
                obstore.delete(self._store, [*keys, prefix])
            except NotFoundError:
                return

    def sweep(self, prefix: str, *, older_than_s: float = 0) -> None:
        """Nothing to do: an object store shows no half-written blobs, and drops begun uploads by its own rules."""

    def free_bytes(self) -> int | None:
        """None: an object store does not tell."""
        return None

    def check(self) -> None:
        """Make sure that the store can be written."""
        self.put("check", b"")


@contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as exc:
        raise BlobNotFoundError("there is no blob under that key") from exc
    except (BaseError, OSError, ValueError) as exc:
        raise StoreUnavailableError(f"the blob store cannot {action} ({type(exc).__name__})") from exc
