"""Figures with their 95 % intervals.

The percentile bootstrap (Efron, Ann Stat 1979) draws patients, with all their cases: scans of one patient are
alike, so drawing cases would make an interval too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure.
        low: Where its interval begins; None where one patient alone says nothing of others.
        high: Where it ends.
        cases: Cases it rests on.
    """

    value: float
    low: float | None
    high: float | None
    cases: int

    @property
    def text(self) -> str:
        """The figure with its interval, as `0.570 (0.500 to 0.600)`."""
        return f"{self.value:.3f} ({interval_text(self.low, self.high)})"


def interval_text(low: float | None, high: float | None) -> str:
    """Write an interval, or that there is none."""
    return "no interval" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def mean_with_interval(
    values: Sequence[float], patients: Sequence[str] | None = None, *, draws: int = DRAWS
) -> Estimate:
    """Return the mean over cases.

    Args:
        values: One a case, at least one.
        patients: Whose case each is; None takes each for a patient of its own.
        draws: Of the bootstrap.
    """
    estimate = ratio_with_interval(values, [1.0] * len(values), patients, draws=draws)
    if estimate is None:
        raise ValueError("expected at least one case to take a mean over, got none")
    return estimate


def ratio_with_interval(
    parts: Sequence[float],
    wholes: Sequence[float],
    patients: Sequence[str] | None = None,
    *,
    draws: int = DRAWS,
) -> Estimate | None:
    """Return the sum of parts over the sum of wholes, such as lesions found over lesions there.

    Args:
        parts: One a case.
        wholes: One a case; cases of 0 are left out.
        patients: Whose case each is; None takes each for a patient of its own.
        draws: Of the bootstrap.

    Returns:
        None where no case has a whole.
    """
    names = [str(index) for index in range(len(parts))] if patients is None else list(patients)
    counts = np.array([parts, wholes], dtype=np.float64).T.reshape(-1, 2)
    used = counts[:, 1] > 0
    if not used.any():
        return None
    _, owner = np.unique(np.array(names)[used], return_inverse=True)
    sums = np.zeros((owner.max() + 1, 2))
    np.add.at(sums, owner, counts[used])
    part, whole = sums.sum(axis=0)
    if len(sums) == 1:
        return Estimate(float(part / whole), None, None, int(used.sum()))
    rng = np.random.default_rng(0)
    drawn = sums[rng.integers(0, len(sums), (draws, len(sums)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], INTERVAL)
    return Estimate(float(part / whole), float(low), float(high), int(used.sum()))
