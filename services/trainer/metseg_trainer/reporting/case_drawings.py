"""One slice of a case with the outlines of truth and prediction, as a PNG to stand inside a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metseg.imaging.volume import Volume
from metseg_trainer.datasets import read_image
from metseg_trainer.evaluation.cases import CaseResult, OperatingPoint, SeenCase, find_predicted

TRUTH_COLOUR = "#3ddc84"
PREDICTION_COLOUR = "#ff9f1c"


def pick_cases(results: Sequence[CaseResult]) -> dict[str, CaseResult]:
    """Pick the best, the median and the worst case by Dice, of those whose truth has a lesion where any has."""
    with_lesion = [result for result in results if result.numbered.found] or list(results)
    ordered = sorted(with_lesion, key=lambda result: (result.dice, result.name))
    picked = {"best": ordered[-1], "median": ordered[len(ordered) // 2], "worst": ordered[0]}
    return {name: result for name, result in picked.items() if len(ordered) > 2 or name != "median"}


def draw_case(seen: SeenCase, point: OperatingPoint) -> str:
    """Draw the slice with most of the truth, or most of the prediction where there is none.

    Returns:
        PNG as base64; the slice in radiological display, its left the patient's right.
    """
    from matplotlib.figure import Figure  # slow to import, and a page alone needs it

    volume = read_image(seen.case).volume
    predicted = (find_predicted(seen, point) > 0).astype(np.uint8)
    image, truth, found = (
        volume.with_array(array).to_ras() for array in (volume.array, seen.truth.array, predicted)
    )
    shown = truth if truth.array.any() else found
    z = int((shown.array > 0).sum(axis=(0, 1)).argmax())
    pixels, *masks = (_display(one, z) for one in (image, truth, found))
    x_mm, y_mm, _ = image.spacing_mm
    figure = Figure(figsize=(3.2, 3.2 * pixels.shape[0] * y_mm / (pixels.shape[1] * x_mm)), frameon=False)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, cmap="gray", vmax=float(np.percentile(image.array, 99.8)), aspect="auto")
    for mask, colour in zip(masks, (TRUTH_COLOUR, PREDICTION_COLOUR), strict=True):
        if mask.any():
            axes.contour(mask > 0, levels=[0.5], colors=[colour], linewidths=1.2)
    axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _display(volume: Volume, z: int) -> NDArray[np.float32]:
    """Take a slice of RAS+ as rows × columns, its left the patient's right and its top the front."""
    return np.asarray(volume.array[::-1, ::-1, z].T, dtype=np.float32)
