"""How the weights that ship are made."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from metseg_trainer.augment import Frame
from metseg_trainer.recipes import HALF_HEAD, HEAD, STRONG, PhantomSet, Recipe, Source, Stage, Terms
from metseg_trainer.shares import Share

CHENG = Share(slices=410)
BTP = Share(slices=90, lesion_fraction=0.6)
PHANTOM = Share(slices=300, lesion_fraction=0.65, lone=0.25)
MOSTLY_HEALTHY = Share(slices=360, lesion_fraction=0.4, lone=0.25)

TIGHT_HEAD = Frame(size=(160, 192))
"""A head at 1 mm whose edge may be cut off; half of the work of a whole slice."""

STRONG_CONTRAST = replace(STRONG, contrast=0.45)
DIM_AND_BRIGHT = replace(STRONG_CONTRAST, gain=0.6)
"""Bright fat leaves the brain few of the grey values: in such scans, lesions of 9 mm were missed."""


def _tight_shares(cheng: int, btp: int, phantom: int) -> dict[str, Share]:
    return {
        "cheng": Share(slices=cheng),
        "btp": Share(slices=btp, lesion_fraction=0.6),
        "phantom": Share(slices=phantom, lesion_fraction=0.7, lone=0.1),
    }


FEW_BTP = _tight_shares(170, 20, 210)
HALF_SYNTHETIC = _tight_shares(220, 30, 250)
MORE_PHANTOMS = _tight_shares(200, 30, 270)
EVEN = _tight_shares(250, 30, 180)

SOURCES = (
    Source(
        "cheng",
        "cheng_t1c_axial",
        split="cheng",
        validation=Share(slices=78),
        disease="meningioma, glioma, pituitary tumour",
        terms=Terms(
            "Cheng brain tumours: 2-D T1c slices of glioma, meningioma and pituitary tumour",
            "CC BY 4.0",
            "Jun Cheng, figshare, doi:10.6084/m9.figshare.1512427; Cheng et al., PLoS ONE 2015 and 2016. "
            "518 axial slices, transposed to upright and resampled.",
        ),
    ),
    Source(
        "btp",
        "btp_t1c_nifti",
        validation_patients=("BTP-05", "BTP-06"),
        validation=Share(slices=32, lesion_fraction=0.8),
        disease="glioma",
        terms=Terms(
            "Brain-Tumor-Progression: T1c volumes of glioblastoma",
            "CC BY 3.0",
            "Schmainda and Prah, The Cancer Imaging Archive, doi:10.7937/K9/TCIA.2018.15quzvnb. "
            "Six patients, two visits each, resampled.",
        ),
    ),
    Source(
        "phantom",
        terms=Terms(
            "metseg phantom: synthetic T1c-like heads with made-up lesions",
            "Apache-2.0, anatomy under the ICBM 152 notice",
            "Anatomy from the ICBM 152 nonlinear symmetric atlas 2009a, Copyright (C) 1993-2004 "
            "Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill "
            "University; Fonov et al. 2009 and 2011, Collins et al. 1999. Provided as is, without warranty.",
        ),
    ),
)

PHANTOMS = {
    "train": PhantomSet(count=216, seed=1000),
    "validation": PhantomSet(count=36, seed=9000),
    "test": PhantomSet(count=24, seed=9100),
}
"""Of what ships, the last stage of the U-Net++ and the last two of the Attention U-Net saw all of `train`; all
else saw the first 144."""

SHIPPED = Recipe(
    name="shipped",
    network="attention_unet",
    preset="small",
    sources=SOURCES,
    stages=(
        Stage(epochs=60, frame=HALF_HEAD, shares={"cheng": CHENG, "btp": BTP}),
        Stage(epochs=10, frame=HALF_HEAD, shares={"cheng": CHENG, "btp": BTP, "phantom": PHANTOM}),
        Stage(epochs=19, frame=HEAD, shares={"cheng": CHENG, "btp": BTP, "phantom": PHANTOM}),
        Stage(epochs=29, frame=HEAD, shares={"cheng": CHENG, "btp": BTP, "phantom": MOSTLY_HEALTHY}),
        Stage(epochs=46, frame=TIGHT_HEAD, shares=FEW_BTP, fresh_rate=6e-4),
        Stage(epochs=50, frame=TIGHT_HEAD, shares=MORE_PHANTOMS, fresh_rate=1e-3),
        Stage(epochs=40, frame=TIGHT_HEAD, shares=HALF_SYNTHETIC, fresh_rate=1e-3),
    ),
    augmentation=DIM_AND_BRIGHT,
    mirrored=True,
    phantoms=PHANTOMS,
    average=0.7,
    validate_every=4,
)
"""Lone slices come first, at half resolution; heads at full resolution come last.

The weights that ship were made by these stages, but not in one run. In the first four, the cosine was laid out for
8,300 to 11,500 steps, and the synthetic scans came from an earlier state of the generator, so that equal seeds
gave somewhat other scans. The fifth was run in three parts: 24 epochs at 6e-4, the first with fewer lone slices
(130 of 400); 18 at 4e-4, from the mean of the weights before and after the first part; and 4 at 4e-4, from a fifth
of the weights before the stage and four fifths of those after the second part, of which the running mean over the
steps was kept. The sixth began with those weights at half precision, the seventh, which alone had `gain`, with
what the sixth left; of both the running mean over the epochs was kept, after the last one."""

UNET_PLUS_PLUS = Recipe(
    name="shipped-unet_plus_plus",
    network="unet_plus_plus",
    preset="small",
    sources=SOURCES,
    stages=(
        Stage(epochs=22, frame=HALF_HEAD, shares={"cheng": CHENG, "btp": BTP}),
        Stage(epochs=29, frame=TIGHT_HEAD, shares=FEW_BTP),
        Stage(epochs=32, frame=TIGHT_HEAD, shares=EVEN, fresh_rate=1.2e-3),
        Stage(epochs=32, frame=TIGHT_HEAD, shares=EVEN, fresh_rate=1.5e-3),
    ),
    augmentation=STRONG_CONTRAST,
    mirrored=True,
    phantoms=PHANTOMS,
    average=0.7,
    validate_every=4,
)
"""Lone slices first, at half resolution; then heads at full resolution, of which half are synthetic.

The first cosine was laid out for 66 epochs and left after 51, while the validation slices still grew better. The
last stage began with what the one before it left. Kept is the running mean of the last epochs."""

INCEPTION_V3_SEGMENTER = Recipe(
    name="shipped-inception_v3_segmenter",
    network="inception_v3_segmenter",
    preset="skips",
    sources=SOURCES,
    stages=(
        Stage(epochs=36, frame=HALF_HEAD, shares={"cheng": CHENG, "btp": BTP}),
        Stage(epochs=17, frame=TIGHT_HEAD, shares=EVEN),
        Stage(epochs=38, frame=TIGHT_HEAD, shares=EVEN, fresh_rate=1e-3),
    ),
    augmentation=STRONG_CONTRAST,
    mirrored=True,
    phantoms=PHANTOMS,
    learning_rate=1.2e-3,
    average=0.7,
    validate_every=4,
)
"""Like the U-Net++, with an encoder that begins without ImageNet's weights.

The first cosine was laid out for 60 epochs and left after 53, when the validation slices no longer grew better at
its low rates. Kept is the running mean of the epoch that was best on them."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (SHIPPED, UNET_PLUS_PLUS, INCEPTION_V3_SEGMENTER)}
)
