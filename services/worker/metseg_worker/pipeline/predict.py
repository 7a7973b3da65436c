"""Asks TF Serving for probabilities, and waits while it is away, starts, or has no room."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metseg.errors import (
    MetsegError,
    ServingExhaustedError,
    ServingInternalError,
    ServingTimeoutError,
    ServingUnavailableError,
    UnknownModelError,
)
from metseg.inference.segment import Predict
from metseg.schemas.job import ModelVersion
from metseg.serving.client import ServingClient

logger = logging.getLogger(__name__)

MAY_PASS: Final = (
    ServingUnavailableError,
    ServingTimeoutError,
    ServingExhaustedError,
    ServingInternalError,
    UnknownModelError,
)
MOST_S: Final[Mapping[type[MetsegError], float]] = {UnknownModelError: 20.0, ServingInternalError: 120.0}
"""How long an error of a server that runs may go on without a break; it may well be there to stay."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 4.0
IN_FLIGHT: Final = 3

Slices = NDArray[np.uint8]


def tell_nobody(_is_waiting: bool) -> None:
    """Stand in for an `on_wait` that nobody needs."""


class Patience:
    """The time that one attempt may wait for TF Serving, counted over all of its calls.

    Attributes:
        limit_s: How long, in all.
        on_wait: Called with True when the attempt begins to wait, and with False when it goes on.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = self._left_s = limit_s
        self.on_wait: Callable[[bool], None] = tell_nobody
        self._since: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._kind: tuple[type[MetsegError], float] | None = None

    def go_on(self) -> None:
        """Note that the server has answered."""
        if self._since is None:
            return
        self._left_s -= time.monotonic() - self._since
        self._since, self._kind, self._pause_s = None, None, FIRST_PAUSE_S
        self.on_wait(False)

    def wait(self, error: MetsegError, check: Callable[[], None]) -> None:
        """Pause for a growing while; raise the error where patience is at its end.

        Args:
            error: Why there was no answer.
            check: Called a few times a second; what it raises ends the waiting.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self.on_wait(True)
        if self._kind is None or self._kind[0] is not type(error):
            self._kind = type(error), now
        left_s = self._left_s - (now - self._since)
        of_kind_s = MOST_S.get(type(error), left_s) - (now - self._kind[1])
        if self._pause_s > min(left_s, of_kind_s):
            raise error
        logger.warning(
            "waiting for TF Serving", extra={"code": error.code, "waited_s": round(now - self._since, 1)}
        )
        end = now + self._pause_s
        while (to_go_s := end - time.monotonic()) > 0:
            check()
            time.sleep(min(to_go_s, 0.25))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def predictor(
    serving: ServingClient, model: ModelVersion, check: Callable[[], None], patience: Patience
) -> Predict:
    """A `Predict` that asks one version of a model, several batches in flight.

    A batch for which the server has no memory is asked for in halves from then on, one at a time. After an answer
    that came too late, batches are sent one at a time, and where that is too late as well, in halves: a server
    goes on computing what nobody waits for any more, and never catches up with whole batches that are sent again.

    Args:
        serving: The connection.
        model: Name and version that must answer.
        check: Called between batches and while waiting; what it raises ends the work.
        patience: When it is at its end, the error of `MAY_PASS` that came last is raised.
    """

    def predict(batches: Iterable[Slices]) -> Iterator[NDArray[np.float32]]:
        pieces = _Pieces(batches)
        while True:
            try:
                for answer in serving.predict_many(
                    model.name, model.version, pieces.send(), in_flight=pieces.in_flight
                ):
                    patience.go_on()
                    check()
                    if (whole := pieces.receive(answer)) is not None:
                        yield whole
                return
            except MAY_PASS as exc:
                if isinstance(exc, ServingExhaustedError):
                    pieces.halve()
                elif isinstance(exc, ServingTimeoutError):
                    pieces.ease()
                patience.wait(_reason(serving, model, exc), check)

    return predict


def _reason(serving: ServingClient, model: ModelVersion, error: MetsegError) -> MetsegError:
    """Return why there was no answer: a version that is not known yet, for the server starts, is not gone."""
    if not isinstance(error, UnknownModelError):
        return error
    try:
        is_loading = serving.is_loading(model.name, model.version)
    except MAY_PASS as exc:
        return exc
    if is_loading:
        return ServingUnavailableError(f"TF Serving is loading version {model.version} of model {model.name}.")
    return error


class _Pieces:
    """Batches on their way through the server, each in one piece or more; none is lost when a call fails."""

    def __init__(self, batches: Iterable[Slices]) -> None:
        self.in_flight = IN_FLIGHT
        self._source = iter(batches)
        self._most: int | None = None
        self._unanswered: deque[Slices] = deque()
        self._sizes: deque[int] = deque()
        self._answers: list[NDArray[np.float32]] = []

    def send(self) -> Iterator[Slices]:
        """Yield first what was sent before without an answer, then what is new."""
        yield from list(self._unanswered)
        for batch in self._source:
            self._sizes.append(len(batch))
            pieces = list(self._cut(batch))
            self._unanswered += pieces
            yield from pieces

    def receive(self, answer: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Take the answer to the oldest piece; return that to its whole batch once it is complete."""
        self._unanswered.popleft()
        self._answers.append(answer)
        if sum(map(len, self._answers)) < self._sizes[0]:
            return None
        self._sizes.popleft()
        whole = self._answers[0] if len(self._answers) == 1 else np.concatenate(self._answers)
        self._answers = []
        return whole

    def halve(self) -> None:
        """Send pieces of half the size from now on, and one at a time."""
        largest = max(map(len, self._unanswered), default=1)
        self._most, self.in_flight = max(largest // 2, 1), 1
        self._unanswered = deque(piece for batch in self._unanswered for piece in self._cut(batch))

    def ease(self) -> None:
        """Send one piece at a time from now on; where that was done already, pieces of half the size."""
        if self.in_flight == 1:
            self.halve()
        self.in_flight = 1

    def _cut(self, batch: Slices) -> Iterator[Slices]:
        size = self._most or len(batch)
        return (batch[start : start + size] for start in range(0, len(batch), size))
