"""Readers of public data sets in the very folders in which they are handed out.

Kaggle LGG       kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_12.tif and …_12_mask.tif
BraTS            BraTS-MET-00086-000/BraTS-MET-00086-000-{t1n,t1c,t2w,t2f,seg}.nii.gz
UCSF-BMSR        100101A/100101A_{T1pre,T1post,FLAIR,subtraction,T2Synth,seg,BraTS-seg}.nii.gz
BrainMetShare    Mets_005/{0,1,2,3,seg}/<slice>.png, or Mets_005/{t1_pre,t1_gd,bravo,flair,seg}.nii.gz
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from metseg.errors import InputError
from metseg_trainer.datasets.cases import Case, below, expect_files, expect_masks, expect_unique
from metseg_trainer.datasets.labels import Labelling, Target

Holds = Callable[[Path], bool]
Find = Callable[[Path, Labelling], list[Case]]

LGG_FLAIR = 1
"""Channels of a Kaggle LGG picture: 0 before contrast agent, 1 FLAIR, 2 after it; the masks were drawn on FLAIR.

Buda et al., "Association of genomic subtypes of lower-grade gliomas with shape features automatically extracted by
a deep learning algorithm", Comput Biol Med 2019, 109:218."""

BRAINMETSHARE_IMAGES = ("2", "0")
"""T1 spin echo after contrast agent, else T1 gradient echo after it."""

BRAINMETSHARE_VOLUMES = ("t1_gd", "bravo")
"""The same in the NIfTI release."""

_LGG_SLICE = re.compile(r"(?P<patient>TCGA_\w+_\d{8})_\d+")
_UCSF_STUDY = re.compile(r"(?P<patient>\d{6})(?P<time>[A-Z])")


def holds_lgg(folder: Path) -> bool:
    """Whether there are slices named as in the Kaggle LGG set."""
    return bool(below(folder, "TCGA_*/TCGA_*.tif"))


def find_lgg(folder: Path, labelling: Labelling) -> list[Case]:
    """List the slices of the Kaggle LGG set; the folder of a slice is its patient.

    Raises:
        InputError: A slice has no mask, a mask no slice, or a name is none of this set.
    """
    cases = []
    paths = below(folder, "TCGA_*/TCGA_*.tif")
    images = [path for path in paths if not path.stem.endswith("_mask")]
    for image in images:
        if _LGG_SLICE.fullmatch(image.stem) is None:
            raise InputError(
                f"{image} is no slice of this set: expected TCGA_<site>_<patient>_<date>_<number>.tif."
            )
        mask = image.with_name(f"{image.stem}_mask.tif")
        cases.append(Case(image.stem, image.parent.name, image, mask, None, "kaggle-lgg", labelling, LGG_FLAIR))
    expect_masks(cases)
    masks = {path for path in paths if path.stem.endswith("_mask")}
    for mask in sorted(masks - {case.mask for case in cases}):
        raise InputError(f"{mask} has no image of the same name.")
    return expect_unique(cases)


def brats(kind: str, layout: str) -> tuple[Holds, Find]:
    """Make the reader of one BraTS collection, named by the middle of its folders, such as MET."""
    return partial(_holds_brats, kind), partial(_find_brats, kind, layout)


def _holds_brats(kind: str, folder: Path) -> bool:
    return bool(below(folder, f"BraTS-{kind}-*/*.nii.gz"))


def _find_brats(kind: str, layout: str, folder: Path, labelling: Labelling) -> list[Case]:
    named = re.compile(rf"(?P<patient>BraTS-{kind}-\d{{5}})-(?P<time>\d{{3}})")
    cases = []
    for study in _folders(below(folder, f"BraTS-{kind}-*")):
        match = named.fullmatch(study.name)
        if match is None:
            raise InputError(f"{study} is no study: expected BraTS-{kind}-<5 digits>-<3 digits>.")
        image, mask = (study / f"{study.name}-{part}.nii.gz" for part in ("t1c", "seg"))
        cases.append(Case(study.name, match["patient"], image, mask, None, layout, labelling))
    return _whole(cases)


def holds_ucsf(folder: Path) -> bool:
    """Whether there are studies named as in UCSF-BMSR."""
    return bool(below(folder, "[0-9][0-9][0-9][0-9][0-9][0-9][A-Z]/*_T1post.nii.gz"))


def find_ucsf(folder: Path, labelling: Labelling) -> list[Case]:
    """List the studies of UCSF-BMSR; its six digits are the patient, its letter the time.

    The enhancing lesions have a mask of their own (`seg`); all other targets are read from `BraTS-seg`.
    """
    part = "seg" if labelling.target is Target.ENHANCING else "BraTS-seg"
    cases = []
    for study in _folders(below(folder, "[0-9][0-9][0-9][0-9][0-9][0-9][A-Z]")):
        match = _UCSF_STUDY.fullmatch(study.name)
        if match is None:
            raise InputError(f"{study} is no study: expected six digits and a letter.")
        image, mask = (study / f"{study.name}_{kind}.nii.gz" for kind in ("T1post", part))
        cases.append(Case(study.name, match["patient"], image, mask, None, "ucsf-bmsr", labelling))
    return _whole(cases)


def holds_brainmetshare(folder: Path) -> bool:
    """Whether there are studies named as in BrainMetShare, as pictures or as NIfTI."""
    return bool(below(folder, "Mets_*/*"))


def find_brainmetshare(folder: Path, labelling: Labelling) -> list[Case]:
    """List the studies of BrainMetShare; each is a patient."""
    cases = []
    for study in _folders(below(folder, "Mets_*")):
        stacked = any((study / name).is_dir() for name in (*BRAINMETSHARE_IMAGES, "seg"))
        if stacked:
            image, mask = _first(study / name for name in BRAINMETSHARE_IMAGES), study / "seg"
        else:
            image = _first(study / f"{name}.nii.gz" for name in BRAINMETSHARE_VOLUMES)
            mask = study / "seg.nii.gz"
        cases.append(Case(study.name, study.name, image, mask, None, "brainmetshare", labelling))
    return _whole(cases)


def _whole(cases: list[Case]) -> list[Case]:
    expect_files((case.image for case in cases), "a study is without its image after contrast agent")
    expect_masks(cases)
    return expect_unique(cases)


def _folders(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.is_dir()]


def _first(paths: Iterable[Path]) -> Path:
    """Return the first path that is there, or else the first."""
    candidates = list(paths)
    return next((path for path in candidates if path.exists()), candidates[0])
