"""A picture of what training sees: slices as they are and as augmentation changes them, masks outlined."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.augment import Augmentation, Frame, augment
from metseg_trainer.pools import Pool

Picture = NDArray[np.uint8]

OUTLINES = ((255, 176, 0), (100, 143, 255), (220, 38, 127), (254, 97, 0))
"""Colours of the classes from 1 on, of the IBM colour-blind-safe palette."""

GAP_PX = 4
ENLARGED = 2
"""Pixels of the sheet per pixel of a slice."""


def draw_sheet(
    path: Path, pools: Sequence[Pool], strength: Augmentation, *, frame: Frame, columns: int = 6, seed: int = 0
) -> None:
    """Draw one row a slice: unchanged on the left, then changed by chance.

    Args:
        path: The PNG to write.
        pools: A row is drawn for each slice of their shares.
        strength: What may happen to a slice.
        frame: What training sees of a slice.
        columns: Pictures in a row.
        seed: Equal seeds draw equal sheets.
    """
    rows = []
    for number, pool in enumerate(pools):
        rng = np.random.default_rng((seed, number))
        for index, z in pool.draw(rng):
            case = pool.cases[index]
            image, mask = case.stack(int(z)), np.ascontiguousarray(case.mask[z])
            strengths = [Augmentation(), *[strength] * (columns - 1)]
            rows.append(
                [outlined(*augment(rng, image, mask, one, frame=frame, centre=case.centre)) for one in strengths]
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), _tiled(rows)[:, :, ::-1])


def outlined(image: Picture, mask: Picture) -> Picture:
    """Draw a slice (x, y, 3) with the outlines of its classes (x, y) in radiological display.

    Returns:
        (rows, columns, 3) RGB, the patient's right on the left and the front at the top.
    """
    grey = _displayed(np.ascontiguousarray(image[:, :, image.shape[2] // 2]))
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    classes = _displayed(mask)
    for number in range(1, int(classes.max(initial=0)) + 1):
        contours, _ = cv2.findContours((classes == number).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, OUTLINES[(number - 1) % len(OUTLINES)], 1)
    return picture


def _displayed(plane: Picture) -> Picture:
    """Turn (x, y), which grow to the right and to the front, to enlarged rows and columns."""
    upright = np.ascontiguousarray(plane[::-1, ::-1].T)
    return np.asarray(np.kron(upright, np.ones((ENLARGED, ENLARGED), np.uint8)), dtype=np.uint8)


def _tiled(rows: Sequence[Sequence[Picture]]) -> Picture:
    bordered = [
        [cv2.copyMakeBorder(one, 0, GAP_PX, 0, GAP_PX, cv2.BORDER_CONSTANT, value=(60, 60, 60)) for one in row]
        for row in rows
    ]
    return np.asarray(np.concatenate([np.concatenate(row, axis=1) for row in bordered]), dtype=np.uint8)
