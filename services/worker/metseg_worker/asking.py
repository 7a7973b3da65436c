"""Asks TF Serving for probabilities, and waits for it when it is away for a moment."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metseg.errors import ServingUnavailableError, UnknownModelError
from metseg.jobs import ModelVersion
from metseg.segment import Predict
from metseg.serving import ServingClient

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 20.0
"""How long the server may be away at a stretch: it restarts, or a new version is being loaded."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 4.0

Slices = NDArray[np.uint8]


def predictor(
    serving: ServingClient, model: ModelVersion, check: Callable[[], None], *, patience_s: float = PATIENCE_S
) -> Predict:
    """A `Predict` that asks one version of a model, several batches in flight.

    Args:
        serving: The connection.
        model: Name and version that must answer.
        check: Called between batches and while waiting; what it raises ends the work.
        patience_s: After this long without an answer `ServingUnavailableError` comes through; or
            `UnknownModelError`, where the server runs, but has that version no more, or not yet again.
    """

    def predict(batches: Iterable[Slices]) -> Iterator[NDArray[np.float32]]:
        source = iter(batches)
        unanswered: deque[Slices] = deque()
        patience = _Patience(patience_s, check)
        while True:
            try:
                for answer in serving.predict_many(model.name, model.version, _sent(unanswered, source)):
                    unanswered.popleft()
                    patience.renew()
                    check()
                    yield answer
                return
            except (ServingUnavailableError, UnknownModelError) as exc:
                patience.wait(exc)

    return predict


def _sent(unanswered: deque[Slices], source: Iterator[Slices]) -> Iterator[Slices]:
    """First what was sent before without an answer, then what is new; both stay in `unanswered`."""
    yield from list(unanswered)
    for batch in source:
        unanswered.append(batch)
        yield batch


class _Patience:
    def __init__(self, patience_s: float, check: Callable[[], None]) -> None:
        self._patience_s, self._check = patience_s, check
        self.renew()

    def renew(self) -> None:
        self._since: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def wait(self, exc: ServingUnavailableError | UnknownModelError) -> None:
        """Pause for a growing while; raise the error when patience is at its end."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        waited_s = now - self._since
        if waited_s + self._pause_s > self._patience_s:
            raise exc
        logger.warning("TF Serving is not available, waiting", extra={"waited_s": round(waited_s, 1)})
        end = now + self._pause_s
        while (left := end - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, 0.25))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
