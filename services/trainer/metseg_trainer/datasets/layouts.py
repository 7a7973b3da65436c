"""The layouts that can be read, told apart by what is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from metseg.errors import InputError, RequestError
from metseg_trainer.datasets.cases import Case
from metseg_trainer.datasets.folders import find_pairs, find_phantoms, holds_pairs, holds_phantoms
from metseg_trainer.datasets.labels import BRATS, NUMBERED, ONE_VALUE, Labelling, Target, two_values
from metseg_trainer.datasets.lesion_free import LESION_FREE, find_lesion_free, holds_lesion_free
from metseg_trainer.datasets.public import (
    Find,
    Holds,
    brats,
    find_brainmetshare,
    find_lgg,
    find_ucsf,
    holds_brainmetshare,
    holds_lgg,
    holds_ucsf,
)

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Layout:
    """A way in which images and masks lie in folders.

    Attributes:
        name: What the command line calls it.
        title: The data set, for people.
        disease: What its lesions are.
        sequence: What its images are.
        labellings: By target, the one that is used where none is named first.
        holds: Tells whether a folder has this layout.
        find: Lists its cases.
    """

    name: str
    title: str
    disease: str
    sequence: str
    labellings: Mapping[Target, Labelling]
    holds: Holds
    find: Find

    def labelling(self, target: Target | None) -> Labelling:
        """Return what a mask's values mean when `target` counts as lesion.

        Raises:
            RequestError: The masks of this layout do not tell that target.
        """
        if target is None:
            return next(iter(self.labellings.values()))
        if target not in self.labellings:
            known = ", ".join(self.labellings)
            raise RequestError(f"the masks of {self.name} do not tell {target.value}; they tell: {known}")
        return self.labellings[target]


_UCSF: dict[Target, Labelling] = {
    Target.ENHANCING: two_values("0 background, 1 enhancing metastasis", Target.ENHANCING, 1),
    **{target: labelling for target, labelling in BRATS.items() if target is not Target.ENHANCING},
}
_LGG = {
    Target.WHOLE_TUMOUR: two_values("0 background, 255 FLAIR abnormality of a glioma", Target.WHOLE_TUMOUR, 255)
}

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (
            Layout(
                "phantom",
                "metseg phantom",
                "synthetic",
                "T1c",
                {Target.LESION: NUMBERED},
                holds_phantoms,
                find_phantoms,
            ),
            Layout(
                "brats-mets",
                "BraTS-METS or Pretreat-MetsToBrain-Masks",
                "metastasis",
                "T1c",
                BRATS,
                *brats("MET", "brats-mets"),
            ),
            Layout("brats-gli", "BraTS glioma", "glioma", "T1c", BRATS, *brats("GLI", "brats-gli")),
            Layout("brats-men", "BraTS meningioma", "meningioma", "T1c", BRATS, *brats("MEN", "brats-men")),
            Layout("ucsf-bmsr", "UCSF-BMSR", "metastasis", "T1c", _UCSF, holds_ucsf, find_ucsf),
            Layout(
                "brainmetshare",
                "BrainMetShare",
                "metastasis",
                "T1c",
                {Target.LESION: ONE_VALUE},
                holds_brainmetshare,
                find_brainmetshare,
            ),
            Layout("kaggle-lgg", "Kaggle LGG", "glioma", "FLAIR", _LGG, holds_lgg, find_lgg),
            Layout(
                LESION_FREE,
                "scans without lesions",
                "none",
                "T1",
                {Target.LESION: NUMBERED},
                holds_lesion_free,
                find_lesion_free,
            ),
            Layout(
                "folder",
                "own images and masks",
                NOT_STATED,
                NOT_STATED,
                {Target.LESION: NUMBERED, **BRATS},
                holds_pairs,
                find_pairs,
            ),
        )
    }
)
"""By name."""


def choose_layout(folder: Path, name: str | None = None) -> Layout:
    """Return the layout of that name, or the one that the folder has.

    Raises:
        RequestError: There is no layout of that name.
        InputError: The folder has no layout that is known, or several.
    """
    if name is not None:
        if name not in LAYOUTS:
            raise RequestError(f"there is no layout {name}; these exist: {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.")
    there = [layout for layout in LAYOUTS.values() if layout.holds(folder)]
    if not there:
        raise InputError(
            f"{folder} holds neither images/ and masks/ nor files named *_t1c.nii.gz nor a public set; "
            f"these layouts are read: {', '.join(LAYOUTS)}."
        )
    if len(there) > 1:
        raise InputError(f"{folder} has several layouts, {' and '.join(x.name for x in there)}: name one of them.")
    return there[0]


def find_cases(folder: Path, *, layout: str | None = None, target: Target | None = None) -> list[Case]:
    """List the cases of a folder, ordered by name.

    Args:
        folder: Of the data set.
        layout: A name in `LAYOUTS`; None takes the one that is there.
        target: What counts as lesion; None takes the layout's usual one.

    Raises:
        InputError: The folder has no known layout, is empty, or an image and its mask do not pair up.
        RequestError: There is no such layout, or its masks do not tell the target.
    """
    chosen = choose_layout(folder, layout)
    cases = chosen.find(folder, chosen.labelling(target))
    if not cases:
        raise InputError(f"{folder} holds no case of the layout {chosen.name}.")
    return cases
