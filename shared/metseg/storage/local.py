"""A blob store in a local folder that survives a power cut: files and their folders are synced to disk.

A blob is written under a hidden temporary name, synced, then renamed (or hard-linked, where it must not replace
another) and its folder synced, so a reader sees all of it or nothing. A store whose own folder is missing is away;
the root is created only in `__init__`, so an unmounted store is never replaced by an empty one.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from metseg.errors import BlobNotFoundError, NoSpaceError, StoreUnavailableError
from metseg.storage.blob_store import CHUNK_BYTES, BlobWriter, checked_key, write_pieces

UNFINISHED = ".part"
ERASE_TRIES = 10
SYNC_BYTES = 16 << 20
"""A blob is synced whenever so much of it has come, so that little is left to wait for at its end."""


class LocalStore:
    """See `metseg.storage.blob_store.BlobStore`."""

    is_remote = False

    def __init__(self, root: Path, *, make: bool = True) -> None:
        """Open the store in a folder, which is made if it is missing, where that is wanted.

        Raises:
            StoreUnavailableError: the folder cannot be made.
        """
        self._root = root.resolve()
        if make:
            with _translated("make the store's folder"):
                _make_folders(self._root)

    def put(self, key: str, data: bytes) -> None:
        """Write a blob whole, in place of one that may be there."""
        with self._pending(key) as pending:
            pending.write(data)
            pending.commit(os.replace)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a blob unless there is one; among many at once exactly one gets True."""
        with self._pending(key) as pending:
            pending.write(data)
            try:
                pending.commit(os.link)
            except FileExistsError:
                return False
        return True

    def put_file(self, key: str, path: Path) -> None:
        """Write a blob from a local file."""
        with path.open("rb") as source, self._pending(key) as pending:
            while piece := source.read(CHUNK_BYTES):
                pending.write(piece)
            pending.commit(os.replace)

    @contextmanager
    def writer(self, key: str) -> Iterator[BlobWriter]:
        """Write piece by piece: the blob is there after a clean exit, and nothing is after an exception."""
        with self._pending(key) as pending:
            yield pending
            pending.commit(os.replace)

    def get(self, key: str) -> bytes:
        """Read a blob whole."""
        with self._reading(key) as path:
            return path.read_bytes()

    def size(self, key: str) -> int:
        """Bytes of a blob."""
        with self._reading(key) as path:
            return path.stat().st_size

    def chunks(
        self, key: str, chunk_bytes: int = CHUNK_BYTES, *, begin: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Read a blob, or the bytes from `begin` up to but without `end`, piece by piece."""
        with self._reading(key) as path, path.open("rb") as file:
            file.seek(begin)
            left = os.fstat(file.fileno()).st_size - begin if end is None else end - begin
            while left > 0 and (piece := file.read(min(chunk_bytes, left))):
                left -= len(piece)
                yield piece

    def download(self, key: str, path: Path) -> None:
        """Copy a blob into a local file."""
        write_pieces(path, self.chunks(key))

    def names(self, prefix: str) -> list[str]:
        """Names right below a prefix, of blobs and of folders, sorted."""
        with _translated("list"):
            try:
                found = os.listdir(os.path.join(self._root, checked_key(prefix)))  # a text: every poll comes by
                return sorted(name for name in found if not name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                if self._is_away():
                    raise
                return []

    def delete(self, prefix: str) -> None:
        """Erase the blob of that key and all below it."""
        path = self._path(prefix)
        with _translated("erase"):
            _erase(path)
            try:
                _sync_folder(path.parent)
            except FileNotFoundError:
                if self._is_away():
                    raise

    def sweep(self, prefix: str, *, older_than_s: float = 0) -> None:
        """Remove what writers that died left half-written below a prefix; see `BlobStore.sweep`."""
        latest = time.time() - older_than_s
        with _translated("erase"):
            for path in self._path(prefix).rglob(f".*{UNFINISHED}"):
                with suppress(FileNotFoundError):  # it was finished at this moment
                    if not older_than_s or path.stat().st_mtime < latest:
                        path.unlink()

    def free_bytes(self) -> int | None:
        """Room that is left on the folder's file system."""
        with _translated("read"):
            return shutil.disk_usage(self._root).free

    def check(self) -> None:
        """Make sure that the store can be written."""
        probe = self._root / f".check-{uuid4().hex}"
        with _translated("write"):
            probe.touch()
            probe.unlink()

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _is_away(self) -> bool:
        return not self._root.is_dir()

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        """Where a blob is; that there is none is known only while the store is there."""
        with _translated("read"):
            try:
                yield self._path(key)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
                if self._is_away():
                    raise
                raise BlobNotFoundError("there is no blob under that key") from exc

    @contextmanager
    def _pending(self, key: str) -> "Iterator[_Pending]":
        path = self._path(key)
        with _translated("write"):
            _make_folders(path.parent, below=self._root)
            pending = _Pending(path)
        try:
            yield pending
        finally:
            pending.discard()


class _Pending:
    """A blob under its temporary name, until it is committed or discarded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.parent / f".{uuid4().hex}{UNFINISHED}"
        self._file = self._temporary.open("xb")
        self._unsynced_bytes = 0

    def write(self, data: bytes, /) -> None:
        """Append bytes."""
        with _translated("write"):
            self._file.write(data)
            self._unsynced_bytes += len(data)
            if self._unsynced_bytes >= SYNC_BYTES:
                self._file.flush()
                os.fdatasync(self._file.fileno())
                self._unsynced_bytes = 0

    def commit(self, give_name: Callable[[Path, Path], None]) -> None:
        """Sync, and give the blob its name by `os.replace` or `os.link` (which refuses a name that is taken)."""
        with _translated("write"):
            self._file.flush()
            os.fsync(self._file.fileno())
            give_name(self._temporary, self._path)
            _sync_folder(self._path.parent)

    def discard(self) -> None:
        """Remove the temporary name; of a committed blob only the blob stays."""
        with suppress(OSError):  # a full disk fails once more while closing; the file goes all the same
            self._file.close()
        with _translated("write"):
            self._temporary.unlink(missing_ok=True)


@contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as exc:
        kind = NoSpaceError if exc.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailableError
        raise kind(f"the blob store cannot {action}: {exc.strerror}") from exc


def _erase(path: Path) -> None:
    """Remove a file, or a folder with all in it; once more where somebody else wrote or erased in it meanwhile."""
    for tries_left in reversed(range(ERASE_TRIES)):
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as exc:
            if not path.exists():
                return
            if not tries_left or exc.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        else:
            return


def _make_folders(folder: Path, *, below: Path | None = None) -> None:
    """Make a folder and its parents, each durable before the next one's content can be; `below` must be there."""
    if folder.is_dir():
        return
    if folder == below:
        raise FileNotFoundError(errno.ENOENT, "its folder is missing")
    _make_folders(folder.parent, below=below)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError as exc:
        raise NotADirectoryError(exc.errno, "a file has the folder's name") from exc
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
