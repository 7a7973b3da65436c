"""One file on its way into the blob store: hashed and counted, durable at the end, gone on any failure."""

import hashlib
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.to_thread import run_sync

from metseg.blobs import BlobStore, BlobWriter
from metseg_api.form import too_large

FLUSH_BYTES = 1 << 20


class Upload:
    """An async context manager; the blob is visible and durable once it is left without an error.

    Disk work runs in threads, a mebibyte at a time, so that other requests are served meanwhile.

    Args:
        blobs: Where the file goes.
        key: Its key there.
        max_bytes: A longer file raises `UploadTooLargeError` from `write`.
    """

    def __init__(self, blobs: BlobStore, key: str, max_bytes: int) -> None:
        self._blobs = blobs
        self._key = key
        self.max_bytes = max_bytes
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
        """Take the next bytes.

        Raises:
            UploadTooLargeError: The file is over the limit now.
        """
        self.size_bytes += len(data)
        if self.size_bytes > self.max_bytes:
            raise too_large(self.max_bytes)
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
        self._writer = self._stack.enter_context(self._blobs.writer(self._key))

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
