"""Where a command finds what it reads."""

import argparse
import os
from pathlib import Path

from tqdm import tqdm

from metseg.errors import RequestError
from metseg_trainer.recipes.recipe import PhantomSet, Recipe
from metseg_trainer.training_data.sources import Paths


def add_places(parser: argparse.ArgumentParser) -> None:
    """Declare where data, synthetic scans, splits and prepared slices lie."""
    data = os.environ.get("METSEG_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(data) if data else None,
        metavar="DIR",
        help="folder of the recipe's real images (METSEG_DATA)",
    )
    parser.add_argument(
        "--phantoms", type=Path, default=Path("runs/phantoms"), metavar="DIR", help="synthetic sets (%(default)s)"
    )
    parser.add_argument(
        "--splits", type=Path, default=Path("splits"), metavar="DIR", help="committed splits (%(default)s)"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="prepared slices (%(default)s)"
    )


def find_places(options: argparse.Namespace, recipe: Recipe, phantoms: str | None) -> Paths:
    """Find the recipe's folders; write the named set of synthetic scans where it is missing."""
    wants_data = any(s.folder is not None and not Path(s.folder).is_absolute() for s in recipe.sources)
    if wants_data and options.data is None:
        raise RequestError("this recipe needs real images: name their folder by --data or METSEG_DATA")
    folder = options.phantoms / (phantoms or "train")
    if phantoms in recipe.phantoms:
        wanted = recipe.phantoms[phantoms]
        if len(list((folder / "masks").glob("*.nii.gz"))) < wanted.count:
            write_phantoms(folder, wanted, os.cpu_count() or 1)
    return Paths(options.data or Path(), folder, options.splits, options.cache)


def write_phantoms(folder: Path, wanted: PhantomSet, workers: int) -> None:
    """Write a set of synthetic scans, with a progress bar."""
    from metseg_trainer.phantom import write_scans

    with tqdm(total=wanted.count, desc=f"synthetic scans in {folder}", unit="scan") as bar:

        def count_scan(_path: Path) -> None:
            bar.update()

        write_scans(
            folder,
            count=wanted.count,
            seed=wanted.seed,
            preset=wanted.preset,
            workers=workers,
            on_scan=count_scan,
        )
