"""Cases to judge: balls of known size and what a network might have seen of them."""

from pathlib import Path

import numpy as np

from metseg.imaging.volume import Volume
from metseg_trainer.datasets import Case
from metseg_trainer.evaluation.cases import SeenCase

CASE = Case("scan", "scan", Path("scan"), Path("scan"))


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid - np.array(centre), axis=-1) <= radius


def seen(truth: np.ndarray, probability: np.ndarray, spacing: float = 1.0, picture: bool = False) -> SeenCase:
    volume = Volume(truth.astype(np.uint16), np.diag([spacing, spacing, spacing, 1.0]))
    return SeenCase(CASE, volume, probability.astype(np.float32), picture, has_spacing=not picture)


def two_balls() -> tuple[np.ndarray, np.ndarray]:
    """A large lesion that is seen, a small one that is missed, and two parts that are no lesions."""
    truth = np.zeros((40, 40, 20), np.uint16)
    truth[ball(truth.shape, (12, 12, 10), 5)] = 1
    truth[ball(truth.shape, (30, 30, 10), 2)] = 2
    probability = 0.9 * ball(truth.shape, (13, 12, 10), 5)
    probability += 0.6 * ball(truth.shape, (30, 10, 10), 2)
    probability[5, 35, 5] = 0.8
    return truth, probability
