"""How the weights that ship are made: one recipe a network, each one run from one seed."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from metseg_trainer.batches.augmentation import Frame
from metseg_trainer.batches.shares import Share
from metseg_trainer.datasets.lesion_free import LESION_FREE
from metseg_trainer.recipes.options import LossKind
from metseg_trainer.recipes.recipe import STRONG, Attribution, PhantomSet, Recipe, Source, Stage

ENHANCING, NON_ENHANCING, PITUITARY = 1, 2, 3
"""Classes that are learnt apart; served is the probability of any of them."""

CLASSES = 4
"""With the background."""

VOLUNTEERS = Attribution(
    "T1 heads of healthy volunteers, from dcm_qa_philips_enh, dcm_qa_xa30 and dcm_qa_decubitus",
    "BSD 2-clause",
    "Chris Rorden. Four series of three volunteers without lesion or contrast agent, resampled; one of the three "
    "is kept apart.",
)

SOURCES = (
    Source(
        "cheng",
        "cheng_t1c",
        split="cheng_t1c",
        plane="axial",
        validation=Share(slices=144),
        disease="meningioma, glioma, pituitary tumour",
        label_classes=(("pituitary", PITUITARY),),
        non_enhancing_class=NON_ENHANCING,
        terms=Attribution(
            "Cheng brain tumours: 2-D T1c slices of glioma, meningioma and pituitary tumour",
            "CC BY 4.0",
            "Jun Cheng, figshare, doi:10.6084/m9.figshare.1512427; Cheng et al., PLoS ONE 2015 and 2016. "
            "Slices in three planes, at 256 pixels, transposed to upright.",
        ),
    ),
    Source(
        "btp",
        "btp_t1c_nifti",
        validation_patients=("BTP-05", "BTP-06"),
        validation=Share(slices=32, lesion_fraction=0.8),
        disease="glioma",
        terms=Attribution(
            "Brain-Tumor-Progression: T1c volumes of glioblastoma",
            "CC BY 3.0",
            "Schmainda and Prah, The Cancer Imaging Archive, doi:10.7937/K9/TCIA.2018.15quzvnb. "
            "Six patients, two visits each, resampled.",
        ),
    ),
    Source(
        "volunteers",
        "healthy_t1_dicom",
        layout=LESION_FREE,
        validation_patients=("healthy-2",),
        validation=Share(slices=24),
        disease="none",
        terms=VOLUNTEERS,
    ),
    Source(
        "head",
        "dicom_t1_head",
        layout=LESION_FREE,
        disease="none",
        terms=Attribution(
            "T1 head of a healthy volunteer",
            "PDDL 1.0",
            "Hanke et al., Sci Data 2014, 1:140003. 64 slices of one series, defaced, resampled.",
        ),
    ),
    Source(
        "phantom",
        terms=Attribution(
            "metseg phantom: synthetic T1c-like heads with made-up lesions",
            "Apache-2.0, anatomy under the ICBM 152 notice",
            "Anatomy from the ICBM 152 nonlinear symmetric atlas 2009a, Copyright (C) 1993-2004 "
            "Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill "
            "University; Fonov et al. 2009 and 2011, Collins et al. 1999. Provided as is, without warranty.",
        ),
    ),
)

PHANTOMS = {
    "train": PhantomSet(count=240, seed=2000, preset="metastases"),
    "validation": PhantomSet(count=36, seed=9000),
    "test": PhantomSet(count=24, seed=9100),
    "test-hard": PhantomSet(count=24, seed=9200, preset="hard_pairs"),
}

TIGHT_HEAD = Frame(size=(160, 192))
"""A head at 1 mm whose edge may be cut off; half of the work of a whole slice."""

HALF_HEAD = Frame(size=(96, 128), scale=0.5)
"""A head at 2 mm; a fifth of the work of a whole slice."""

WHOLE_HEAD = Frame(size=(224, 256))

BTP_SLICE_MM = 5.0
"""Their affines say 1 mm for what are thick slices."""

MIX = {
    "cheng": Share(slices=320, implants=0.33, pasted=True),
    "btp": Share(slices=160, lesion_fraction=0.4, lone=0.1, implants=0.6, slice_mm=BTP_SLICE_MM),
    "volunteers": Share(slices=90, lone=0.1, implants=0.55),
    "head": Share(slices=30, lone=0.1, implants=0.6),
    "phantom": Share(slices=200, lesion_fraction=0.7, lone=0.1),
}
"""Of an epoch, 40 % real tumours on single slices, a fifth of all slices without any lesion."""

AUGMENTATION = replace(STRONG, contrast=0.45, gain=0.6, strip=0.4)
"""Dim, bright and skull-stripped scans, too: bright fat leaves the brain few of the grey values."""


def _stages(half: int, tight: int, whole: int) -> tuple[Stage, ...]:
    """Lay out epochs at 2 mm, then at 1 mm, each with a cosine of its own; the last two begin by mining."""
    mined = tight // 3
    return (
        Stage(half, HALF_HEAD, MIX),
        Stage(tight - mined, TIGHT_HEAD, MIX, fresh_rate=1e-3),
        Stage(mined, TIGHT_HEAD, MIX, fresh_rate=7e-4, mines=True),
        Stage(whole, WHOLE_HEAD, MIX, fresh_rate=2e-4, mines=True),
    )


def _recipe(name: str, network: str, preset: str, stages: tuple[Stage, ...]) -> Recipe:
    return Recipe(
        name=name,
        network=network,
        preset=preset,
        sources=SOURCES,
        stages=stages,
        augmentation=AUGMENTATION,
        phantoms=PHANTOMS,
        classes=CLASSES,
        loss=LossKind.LESION_DICE_CROSS_ENTROPY,
        learning_rate=1.5e-3,
        average=0.999,
        validate_every=5,
    )


SHIPPED = _recipe("shipped", "attention_unet", "deep", _stages(40, 60, 5))
UNET_PLUS_PLUS = _recipe("shipped-unet_plus_plus", "unet_plus_plus", "small", _stages(40, 60, 5))
INCEPTION_V3_SEGMENTER = _recipe(
    "shipped-inception_v3_segmenter", "inception_v3_segmenter", "skips", _stages(40, 60, 5)
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (SHIPPED, UNET_PLUS_PLUS, INCEPTION_V3_SEGMENTER)}
)
