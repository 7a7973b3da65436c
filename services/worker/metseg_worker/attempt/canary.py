"""How far a canary agrees with the stable version of its model: one scan through both, counted and not kept."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from metseg.errors import MetsegError, QueueUnavailableError
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg.inference.segment import Segmentation, segment
from metseg.queue.dispatcher import Dispatcher
from metseg.schemas.job import JobRecord
from metseg_worker.pipeline.predict import Patience, predictor
from metseg_worker.pipeline.process_job import Dependencies, card_of

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 20.0
"""How long the comparison waits for a model server that is away; the job has its result already."""


@dataclass
class Agreement:
    """Remembers what the canary found, until its job has ended and the stable version can be asked without delay.

    Args:
        dependencies: The outside systems.
        record: The job; `compared_with` says with what, if with anything.
    """

    dependencies: Dependencies
    record: JobRecord
    _kept: tuple[Scan, Segmentation] | None = field(default=None, init=False)

    def keep(self, scan: Scan, found: Segmentation) -> None:
        """Note what was found, if it is to be compared."""
        if self.record.compared_with is not None:
            self._kept = scan, found

    def measure(self, dispatcher: Dispatcher, check: Callable[[], None]) -> None:
        """Ask the stable version and count how far the two agree; what goes wrong here is logged, and no more.

        Args:
            dispatcher: Keeps the counts.
            check: Called often; what it raises ends the comparison.
        """
        canary, stable = self.record.model, self.record.compared_with
        if self._kept is None or stable is None:
            return
        scan, found = self._kept
        extra = {"job_id": self.record.id, "version": canary.version, "stable": stable.version}
        try:
            card = card_of(self.dependencies.models, stable)
            predict = predictor(self.dependencies.serving, stable, check, Patience(PATIENCE_S))
            other = segment(scan, card, predict, threshold=self.record.request.threshold)
            overlap, same = dice(found.mask, other.mask), len(found.lesions) == len(other.lesions)
            logger.info("canary compared", extra=extra | {"dice": round(overlap, 4), "same_count": same})
            dispatcher.count_agreement(canary, stable.version, overlap, same_count=same)
        except QueueUnavailableError:
            logger.info("the comparison with the stable version is not counted", extra=extra)
        except MetsegError as exc:
            logger.warning("the canary was not compared", extra=extra | {"code": exc.code})


def dice(one: Volume, other: Volume) -> float:
    """Overlap of two binary masks of the same grid, 0 to 1 (Dice, Ecology 1945); 1 where both are empty."""
    a, b = one.array > 0, other.array > 0
    size = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / size if size else 1.0
