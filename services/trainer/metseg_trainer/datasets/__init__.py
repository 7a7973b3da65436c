"""Data sets as lists of cases: where the files lie, whose they are, and what the values of a mask mean."""

from metseg_trainer.datasets.cases import Case
from metseg_trainer.datasets.labels import Labelling, Target
from metseg_trainer.datasets.layouts import LAYOUTS, Layout, choose_layout, find_cases
from metseg_trainer.datasets.reading import read_image, read_lesions, read_mask

__all__ = [
    "LAYOUTS",
    "Case",
    "Labelling",
    "Layout",
    "Target",
    "choose_layout",
    "find_cases",
    "read_image",
    "read_lesions",
    "read_mask",
]
