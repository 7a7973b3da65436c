"""Opens an input in a confined process: decoders of images are what a hostile file attacks.

`python -m metseg_worker.reading` is that process.
"""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from metseg.scan import Scan, load_scan, save_scan
from metseg_worker.confined import USUAL, ChildLimits, answer, run_confined
from metseg_worker.opening import Asked, open_scan


def read_in_child(
    source: Path,
    folder: Path,
    asked: Asked,
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
    """
    given = {"source": str(source), "folder": str(folder), "asked": astuple(asked)}
    run_confined(__spec__.name, folder, given, check=check, limits=limits)
    return load_scan(folder)


def main(given: dict[str, Any]) -> None:
    """Read the files in the one folder and leave the scan in the other."""
    source, folder = Path(given["source"]), Path(given["folder"])
    save_scan(open_scan(sorted(source.iterdir()), folder / "unpacked", Asked(*given["asked"])), folder)


if __name__ == "__main__":
    answer(main)
