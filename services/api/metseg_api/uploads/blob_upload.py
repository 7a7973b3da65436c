"""Files on their way into the blob store: hashed and counted, durable at the end, gone on any failure."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.to_thread import run_sync

from metseg.errors import EmptyInputError
from metseg.schemas.job import InputFile
from metseg.storage.blob_store import BlobStore, BlobWriter
from metseg_api.uploads.multipart import too_large

FLUSH_BYTES = 1 << 20


class Uploads:
    """The files of one form, each into a blob of its own as it arrives; an async context manager.

    Args:
        blobs: Where the files go.
        keys: By the name of a scan's parts, the key of each file there by its number from 0.
        max_bytes: More in all raises `UploadTooLargeError` from `write`.
        count: Told how many bytes have come, before they are written; may refuse them.
    """

    def __init__(
        self,
        blobs: BlobStore,
        keys: Mapping[str, Callable[[int], str]],
        max_bytes: int,
        count: Callable[[int], Awaitable[None]],
    ) -> None:
        self._blobs = blobs
        self._keys = keys
        self.max_bytes = max_bytes
        self._count = count
        self._stack = AsyncExitStack()
        self._open: Upload
        self._name = ""
        self.size_bytes = 0
        self.files: dict[str, list[InputFile]] = {name: [] for name in keys}

    async def __aenter__(self) -> Self:
        """Nothing is opened before a file begins."""
        return self

    async def begin(self, name: str) -> None:
        """A file of the scan begins whose parts have that name."""
        number, self._name = len(self.files[name]), name
        self._open = await self._stack.enter_async_context(Upload(self._blobs, self._keys[name](number)))

    async def write(self, data: bytes) -> None:
        """Take the next bytes of the file that began last.

        Raises:
            UploadTooLargeError: All files together are over the limit now.
            StoreFullError: The store has no room for them.
        """
        self.size_bytes += len(data)
        if self.size_bytes > self.max_bytes:
            raise too_large(self.max_bytes)
        await self._count(self.size_bytes)
        await self._open.write(data)

    async def end(self) -> None:
        """Make the file that began last durable.

        Raises:
            EmptyInputError: It has no bytes.
        """
        done = self._open
        if not done.size_bytes:
            raise EmptyInputError("A file is empty.")
        await self._stack.aclose()
        self.files[self._name].append(InputFile(key=done.key, size_bytes=done.size_bytes, sha256=done.sha256))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing of a file that did not end; the whole ones stay."""
        await self._stack.__aexit__(kind, error, trace)


class Upload:
    """An async context manager; the blob is visible and durable once it is left without an error.

    Disk work runs in threads, a mebibyte at a time, so that other requests are served meanwhile.

    Args:
        blobs: Where the file goes.
        key: Its key there.
    """

    def __init__(self, blobs: BlobStore, key: str) -> None:
        self._blobs = blobs
        self.key = key
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._stack = ExitStack()
        self._writer: BlobWriter
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Digest of the bytes that reached the store; complete after the context is left."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> Self:
        """Open the blob's writer."""
        with anyio.CancelScope(shield=True):
            await run_sync(self._open)
        return self

    async def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(data)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= FLUSH_BYTES:
            await run_sync(self._flush)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make the blob durable, or leave nothing of it."""
        with anyio.CancelScope(shield=True):
            await run_sync(self._close, kind, error, trace)

    def _open(self) -> None:
        self._writer = self._stack.enter_context(self._blobs.writer(self.key))

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for data in waiting:
            self._digest.update(data)
            self._writer.write(data)

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._flush()
