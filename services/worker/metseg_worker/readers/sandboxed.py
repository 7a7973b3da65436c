"""Opens an input in a confined process: decoders of images are what a hostile file attacks.

`main` runs in that process.
"""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from metseg.imaging.scan import Scan, load_scan, save_scan
from metseg_worker.readers.open import ReadOptions, open_scan
from metseg_worker.sandbox.answer import ConfinedError
from metseg_worker.sandbox.parent import USUAL, ChildLimits, run_confined


def read_in_child(
    source: Path,
    folder: Path,
    asked: ReadOptions,
    *,
    check: Callable[[], None],
    limits: ChildLimits = USUAL,
) -> Scan:
    """Read a scan without letting its bytes near this process.

    Args:
        source: A folder of the files as they came, read in the order of their names.
        folder: An empty folder for the hand-over; the images of a DICOM series stay there.
        asked: What the sender said of the input.
        check: Called a few times a second; what it raises ends the reading.
        limits: What the child may use.

    Raises:
        InputError: what `open_scan` said, or what the child's death tells.
        ConfinedError: the child failed by a fault of its own, or answers what it cannot know.
    """
    given = {"source": str(source), "folder": str(folder), "asked": astuple(asked)}
    run_confined(__name__, folder, given, check=check, limits=limits, reads=[source])
    scan = load_scan(folder)
    if any(".." in one.path.parts or not _is_below(one.path, (source, folder)) for one in scan.slices):
        raise ConfinedError("slices in files that it was not given")
    return scan


def _is_below(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def main(given: dict[str, Any]) -> None:
    """Read the files in the one folder and leave the scan in the other."""
    source, folder = Path(given["source"]), Path(given["folder"])
    save_scan(open_scan(sorted(source.iterdir()), folder / "unpacked", ReadOptions(*given["asked"])), folder)
