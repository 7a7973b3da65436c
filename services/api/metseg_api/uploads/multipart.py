"""A multipart form read as it arrives: the parts come out as events, nothing is kept."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from metseg.errors import RequestError
from metseg_api.errors import MediaTypeError, MultipartError, UploadTimeoutError, UploadTooLargeError

MAX_FILES = 2000
MAX_SCANS = 2
MAX_PARTS = MAX_SCANS * MAX_FILES + 16
MAX_PART_HEADERS = 8
MAX_PART_HEADER_BYTES = 4096
# What the delimiters, part headers and small fields of a form may add to its files.
MAX_OVERHEAD_BYTES = 128 * 1024 + MAX_SCANS * MAX_FILES * 512
IDLE_S = 60.0
MANY_PARTS = 32
READ_AHEAD_BYTES = 1 << 20
"""While so many parts wait to be stored, this much of the body is read first: a form can ask for a file with a
hundred bytes, and storing one costs far more, so a form of too many is to be found out before."""


@dataclass(frozen=True)
class PartBegin:
    """A part of this name begins; of the file name beside it only whether there is one was looked at."""

    name: str
    has_file_name: bool


@dataclass(frozen=True)
class PartData:
    """The next bytes of the part that began last."""

    data: bytes


@dataclass(frozen=True)
class PartEnd:
    """The part that began last is complete."""


Event = PartBegin | PartData | PartEnd


@dataclass
class _Parts:
    """Turns the parser's callbacks into events."""

    events: list[Event] = field(default_factory=list)
    complete: bool = False
    waiting: int = 0
    _count: int = 0
    _named: Counter[bytes] = field(default_factory=Counter)
    _header: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""

    def on_part_begin(self) -> None:
        self._count += 1
        self.waiting += 1
        if self._count > MAX_PARTS:
            raise MultipartError(f"The form has more than {MAX_PARTS} parts.")
        self._disposition = b""

    def on_header_begin(self) -> None:
        self._header = self._value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value

    def on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition.decode("latin-1"))
        name = options.get(b"name", b"")
        if kind != b"form-data" or not name:
            raise MultipartError("A part of the form has no name.")
        self._named[name] += 1
        if self._named[name] > MAX_FILES:
            raise RequestError(f"A scan has at most {MAX_FILES} files; send more as one zip file.")
        self.events.append(PartBegin(name.decode("latin-1"), has_file_name=bool(options.get(b"filename"))))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(PartData(data[start:end]))

    def on_part_end(self) -> None:
        self.events.append(PartEnd())

    def on_end(self) -> None:
        self.complete = True

    def take(self) -> list[Event]:
        """Return the events since the last call."""
        taken, self.events, self.waiting = self.events, [], 0
        return taken


def boundary_of(request: Request) -> bytes:
    """The delimiter that a form's header names.

    Raises:
        MediaTypeError: The body is no multipart form.
        MultipartError: The header names no delimiter.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind != b"multipart/form-data":
        raise MediaTypeError("Send the file as multipart/form-data.")
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise MultipartError("The Content-Type header names no boundary.")
    return boundary


def check_length(request: Request, max_file_bytes: int) -> None:
    """Refuse a form by the length that it announces, before a byte of it is read.

    Raises:
        UploadTooLargeError: It cannot fit the limit.
    """
    if announced_bytes(request) > max_file_bytes + MAX_OVERHEAD_BYTES:
        raise too_large(max_file_bytes)


def announced_bytes(request: Request) -> int:
    """The length of the body as its header tells it; 0 where it does not."""
    told = request.headers.get("Content-Length", "0")
    return int(told) if told.isdecimal() else 0


def too_large(max_file_bytes: int) -> UploadTooLargeError:
    """The error for more bytes than one upload may have."""
    return UploadTooLargeError(f"One upload has at most {max_file_bytes} bytes.")


async def form_events(
    request: Request, boundary: bytes, max_file_bytes: int, min_bytes_per_s: int
) -> AsyncIterator[Event]:
    """The events of a form in the order of its bytes.

    Args:
        request: Whose body the form is.
        boundary: See `boundary_of`.
        max_file_bytes: Most bytes of all files together.
        min_bytes_per_s: A body that comes more slowly on the whole, apart from `IDLE_S`, is refused.

    Raises:
        MultipartError: The body is malformed, breaks off, or has too many parts or headers.
        RequestError: It has more parts of one name than a scan may have files.
        UploadTooLargeError: The body is longer than the file limit and the overhead of a form.
        UploadTimeoutError: Nothing came for a minute, or the body comes too slowly.
        ClientDisconnect: The client left (from Starlette).
    """
    parts = _Parts()
    parser = _parser(boundary, parts)
    left, held = max_file_bytes + MAX_OVERHEAD_BYTES, 0
    async for chunk in _chunks(request, min_bytes_per_s):
        left -= len(chunk)
        if left < 0:
            raise too_large(max_file_bytes)
        try:
            parser.write(chunk)
        except FormParserError as exc:
            raise MultipartError("The body is not a well-formed multipart form.") from exc
        held += len(chunk)
        if parts.waiting > MANY_PARTS and held < READ_AHEAD_BYTES:
            continue
        held = 0
        for event in parts.take():
            yield event
    if not parts.complete:
        raise MultipartError("The form breaks off before its closing boundary.")
    for event in parts.take():
        yield event


def _parser(boundary: bytes, parts: _Parts) -> MultipartParser:
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
                "on_header_begin": parts.on_header_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_end": parts.on_end,
            },
            max_header_count=MAX_PART_HEADERS,
            max_header_size=MAX_PART_HEADER_BYTES,
        )
    except FormParserError as exc:
        raise MultipartError("The boundary is too long.") from exc


async def _chunks(request: Request, min_bytes_per_s: int) -> AsyncIterator[bytes]:
    """The pieces of a body; only the time that its sender takes counts, not that of the store."""
    stream = request.stream()
    allowed_s, waited_s = IDLE_S, 0.0
    while True:
        began = time.monotonic()
        try:
            with anyio.fail_after(max(min(IDLE_S, allowed_s - waited_s), 0)):
                chunk = await anext(stream, None)
        except TimeoutError as exc:
            raise UploadTimeoutError(
                f"Nothing came for {IDLE_S:.0f} s, or less than {min_bytes_per_s} bytes a second."
            ) from exc
        if chunk is None:
            return
        waited_s += time.monotonic() - began
        allowed_s += len(chunk) / min_bytes_per_s
        if chunk:
            yield chunk
