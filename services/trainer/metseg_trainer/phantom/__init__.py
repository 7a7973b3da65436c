"""Synthetic T1c-like heads with lesions of known place, shape, volume and diameter."""

from metseg_trainer.phantom.anatomy import ICBM_NOTICE
from metseg_trainer.phantom.layouts import LAYOUT_WRITERS, write_studies
from metseg_trainer.phantom.presets import PAIRED_PRESETS, PRESETS, LesionKind, PhantomPreset
from metseg_trainer.phantom.scan import Phantom, TrueLesion, all_axcodes, make_phantom, reoriented
from metseg_trainer.phantom.writing import SET_PRESETS, write_phantom, write_samples, write_scans

__all__ = [
    "ICBM_NOTICE",
    "LAYOUT_WRITERS",
    "PAIRED_PRESETS",
    "PRESETS",
    "SET_PRESETS",
    "LesionKind",
    "Phantom",
    "PhantomPreset",
    "TrueLesion",
    "all_axcodes",
    "make_phantom",
    "reoriented",
    "write_phantom",
    "write_samples",
    "write_scans",
    "write_studies",
]
