"""One image with its mask, and what is known of both before they are read."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metseg.errors import InputError
from metseg_trainer.datasets.labels import NUMBERED, Labelling

LEVELS = ("", "*/", "*/*/")
"""A public set may lie in the folder itself or up to two folders deeper, as its archive unpacks."""


@dataclass(frozen=True)
class Case:
    """One image with its mask.

    Attributes:
        name: The file's name without its ending; unique within its data set.
        patient: Cases of one patient share this name and never part in a split.
        image: A file, or a folder of pictures that make a volume.
        mask: The same for the mask; None for a scan that is known to show no lesion.
        label: The class of the lesion where a manifest names it.
        layout: Name of the layout it was found in.
        labelling: What the mask's values mean, and which count as lesion.
        channel: Which channel of a colour picture is the image, in the file's order; None for grey.
        plane: The anatomical plane of a single slice where a manifest names it: axial, coronal or sagittal.
    """

    name: str
    patient: str
    image: Path
    mask: Path | None
    label: str | None = None
    layout: str = "folder"
    labelling: Labelling = NUMBERED
    channel: int | None = None
    plane: str | None = None


def files_of(path: Path) -> list[Path]:
    """List the files of an image: itself, or the pictures of its folder by name."""
    if not path.is_dir():
        return [path]
    return sorted(child for child in path.iterdir() if child.is_file() and not child.name.startswith("."))


def case_files(case: Case) -> list[Path]:
    """List all files of a case, those of the image first."""
    return [path for whole in (case.image, case.mask) if whole is not None for path in files_of(whole)]


def below(folder: Path, pattern: str) -> list[Path]:
    """List what a pattern matches in a folder, or else one or two folders deeper, by name."""
    for level in LEVELS:
        found = sorted(folder.glob(level + pattern))
        if found:
            return found
    return []


def expect_files(paths: Iterable[Path], why: str) -> None:
    """Stop at the first path that is not there.

    Raises:
        InputError: The message names it.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is missing: {why}.")


def expect_masks(cases: Iterable[Case]) -> None:
    """Stop at the first case whose mask is not there.

    Raises:
        InputError: The message names it.
    """
    expect_files((case.mask for case in cases if case.mask is not None), "an image is without its mask")


def expect_unique(cases: list[Case]) -> list[Case]:
    """Return the cases ordered by name.

    Raises:
        InputError: Two cases have one name.
    """
    seen: dict[str, Case] = {}
    for case in cases:
        if case.name in seen:
            raise InputError(f"{case.image} and {seen[case.name].image} are one case twice.")
        seen[case.name] = case
    return [seen[name] for name in sorted(seen)]
