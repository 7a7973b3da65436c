"""The parts of a lesion and the oedema around it, by the values of the BraTS scheme."""

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.anatomy import Template
from metseg_trainer.phantom.grid import ScanGrid
from metseg_trainer.phantom.head import Oedema

NECROSIS, OEDEMA, ENHANCING = 1, 2, 3
"""As NETC, SNFH and ET in `metseg_trainer.datasets.labels`."""

LEAST_DARKNESS = 0.45
"""A paler halo is not labelled; nobody would see it."""


def add_oedema(regions: NDArray[np.uint8], grid: ScanGrid, template: Template, halos: list[Oedema]) -> None:
    """Label the visible halos of lesions, in place, where white matter is and no lesion.

    A halo's edge is ragged in the image by up to a sixth of its radius; its label is the smooth ball.
    """
    for halo in halos:
        if halo.has_lesion and halo.darkness >= LEAST_DARKNESS:
            _label_ball(regions, grid, template, halo)


def _label_ball(regions: NDArray[np.uint8], grid: ScanGrid, template: Template, halo: Oedema) -> None:
    spacing = np.array(grid.spacing_mm)
    centre = grid.pose.to_grid(np.array([halo.centre_mm]))[0]
    reach = halo.radius_mm * float(np.linalg.norm(grid.pose.matrix, 2))
    low = np.clip(np.floor((centre - reach - grid.first_mm) / spacing), 0, grid.shape).astype(int)
    high = np.clip(np.ceil((centre + reach - grid.first_mm) / spacing) + 1, 0, grid.shape).astype(int)
    if (high <= low).any():
        return
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    lines = [grid.first_mm[k] + spacing[k] * np.arange(low[k], high[k]) for k in range(3)]
    points = grid.pose.to_template(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3))
    near = np.linalg.norm(points - np.array(halo.centre_mm), axis=1) <= halo.radius_mm
    brain = template.sample(template.tissue, points) > 0.5
    white = template.sample(template.white, points) > 0.5
    part = regions[x, y, z]
    part[(near & brain & white).reshape(part.shape) & (part == 0)] = OEDEMA
