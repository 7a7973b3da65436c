"""A picture of what training sees: slices as they are and as augmentation changes them, masks outlined."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.batches.augmentation import Augmentation, Frame, augment
from metseg_trainer.batches.sampling import Pool
from metseg_trainer.implants import Implant

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


def draw_implants(
    path: Path, pools: Sequence[Pool], strength: Augmentation, *, frame: Frame, columns: int = 10, seed: int = 0
) -> None:
    """Draw samples as they enter the network, with what was painted into them and its size in mm.

    Args:
        path: The PNG to write.
        pools: A picture is drawn for each slice of their shares; each has an implanter.
        strength: What may happen to a slice, stripping among it.
        frame: What training sees of a slice.
        columns: Pictures in a row; the last row is filled up with nothing.
        seed: Equal seeds draw equal sheets.
    """
    pictures = []
    for number, pool in enumerate(pools):
        rng = np.random.default_rng((seed, number))
        for index, z in pool.draw(rng):
            case = pool.cases[index]
            image, mask = case.stack(int(z), lone=rng.random() < pool.share.lone), case.classes(int(z))
            named: tuple[Implant, ...] = ()
            if pool.implanter is not None:
                made = pool.implanter.paint(image, np.ascontiguousarray(mask), pool.spacing_of(case), rng)
                image, mask, named = made.slab, made.mask, made.implants
            picture = outlined(*augment(rng, image, mask, strength, frame=frame, centre=case.centre))
            pictures.append(_captioned(picture, [f"{one.kind.value} {one.diameter_mm:.1f}" for one in named]))
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), _tiled(rows)[:, :, ::-1])


def _captioned(picture: Picture, lines: Sequence[str]) -> Picture:
    """Write lines into a picture's upper left corner."""
    for number, line in enumerate(lines):
        place = (4, 14 + 14 * number)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 0), 1, cv2.LINE_AA)
    return picture


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
