"""What a confined process answers, and the error that its parent makes of it.

A child's own fault is not the file's: an exception that is not one of `metseg.errors` crosses as the class and the
places that it passed, without its words, and fails the job with `internal_error`. The child may have been taken
over by what it read, so its answer is checked like any other input.
"""

import errno
import os
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from metseg.errors import InputError, InputTooLargeError
from metseg.imaging.series_errors import SeriesUnclearError
from metseg.logs import MOST_FRAMES, frames
from metseg.schemas.job import FoundSeries

LOADED: Final = b"loaded\n"
"""The child's first line, once its code is loaded: a crash before it cannot be the file's fault."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]+$", max_length=200)]
Frame = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.?<>]+:[0-9]+$", max_length=200)]


class ConfinedError(Exception):
    """A confined process failed by a fault of its own.

    Attributes:
        error: Class of the child's exception, or how it ended.
        frames: The places that the exception passed, as `metseg.logs.frames` names them.
    """

    def __init__(self, error: str, frames: list[str] | None = None) -> None:
        super().__init__(f"a confined process failed: {error}")
        self.error, self.frames = error, frames or []


class Fault(BaseModel):
    """An exception that is not of metseg's tree, as it may be logged."""

    model_config = ConfigDict(extra="forbid")

    error: Name
    frames: list[Frame] = Field(max_length=MOST_FRAMES)


class Answer(BaseModel):
    """How the work went; empty where it went well.

    Attributes:
        code: Of an `InputError`; empty without one.
        message: Its sentence.
        series: Of a `SeriesUnclearError`, what can be chosen from.
        errno: Of an `OSError`, which is this machine's fault.
        fault: What else was raised, or where the `OSError` was.
    """

    model_config = ConfigDict(extra="forbid")

    code: str = ""
    message: str = Field(default="", max_length=5000)
    series: list[FoundSeries] = []
    errno: int | None = None
    fault: Fault | None = None


def answer_of(error: Exception) -> Answer:
    """Return what the child says of an exception that ended its work."""
    if isinstance(error, InputError):
        series = list(error.series) if isinstance(error, SeriesUnclearError) else []
        return Answer(code=error.code, message=str(error), series=series)
    if isinstance(error, MemoryError):
        said = "Reading the file takes more memory than is allowed."
        return Answer(code=InputTooLargeError.code, message=said)
    fault = fault_of(error)
    if isinstance(error, OSError):
        return Answer(errno=error.errno or errno.EIO, fault=fault)  # numpy gives no number for a short write
    return Answer(fault=fault)


def fault_of(error: Exception) -> Fault:
    """Return what may be logged of an exception."""
    return Fault(error=type(error).__name__, frames=frames(error.__traceback__))


def raise_error_of(answer: Answer) -> None:
    """Raise the child's error in this process, if there is one.

    Raises:
        InputError: The work found fault with the file.
        OSError: This machine refused it something; its cause is a `ConfinedError` with the places.
        ConfinedError: The child failed by a fault of its own.
    """
    fault = ConfinedError(answer.fault.error, answer.fault.frames) if answer.fault else None
    if answer.errno is not None:
        raise OSError(answer.errno, os.strerror(answer.errno)) from fault
    if fault is not None:
        raise fault
    if not answer.code:
        return
    kind = {kind.code: kind for kind in _kinds(InputError)}.get(answer.code)
    if kind is None:
        raise ConfinedError("an answer with an unknown code")
    if issubclass(kind, SeriesUnclearError):
        raise kind(answer.message, answer.series)
    raise kind(answer.message)


def log_fields(error: BaseException) -> dict[str, object]:
    """Return what a log line says of a child's fault behind an exception; nothing where there is none."""
    for one in (error, error.__cause__):
        if isinstance(one, ConfinedError):
            return {"child_error": one.error, "child_frames": one.frames}
    return {}


def _kinds(kind: type[InputError]) -> Iterator[type[InputError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
