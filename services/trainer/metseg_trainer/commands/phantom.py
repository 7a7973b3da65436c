"""Synthetic scans with known lesions."""

import argparse
import os
from pathlib import Path

from tqdm import tqdm

from metseg.errors import RequestError
from metseg_trainer.commands.output import say
from metseg_trainer.commands.paths import write_phantoms
from metseg_trainer.recipes.recipe import PhantomSet

LAYOUTS = ("brats-mets", "ucsf-bmsr", "brainmetshare", "kaggle-lgg")

SHORT = "write synthetic scans with known lesions"

DESCRIPTION = """\
Write synthetic T1c-like heads with lesions of known place, shape, volume and diameter: images/, masks/ (one label
a lesion), truth/ (JSON) and the notice of the anatomy's authors. Equal seeds write equal voxels.

With --layout the same heads are written as a public data set lies on disk, to try its reader: BraTS-METS,
UCSF-BMSR, BrainMetShare (pictures) or Kaggle LGG. Necrosis, oedema and the enhancing rim have their labels; other
sequences than T1c are stand-ins."""

EXAMPLES = """\
examples:
  metseg-train phantom --out heads --count 5
  metseg-train phantom --out runs/phantoms/test --count 24 --seed 9100 --workers 2
  metseg-train phantom --out runs/phantoms/test-hard --count 24 --seed 9200 --preset hard_pairs
  metseg-train phantom --out brats --layout brats-mets --count 8 --preset small
  metseg-train phantom --samples samples"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="folder to write a set of scans into")
    where.add_argument(
        "--samples", type=Path, metavar="DIR", help="folder to write the project's sample scans into"
    )
    parser.add_argument("--count", type=int, default=10, help="number of scans (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="names the set (%(default)s)")
    parser.add_argument(
        "--preset",
        default="clinical",
        help="how scans vary: metastases to train on, hard or hard_pairs to test on, clinical, isotropic, small "
        "(%(default)s)",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        help="write a synthetic copy of a public data set instead of images/ and masks/",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    from metseg_trainer import phantom

    if options.samples is not None:
        phantom.write_samples(options.samples)
        say(f"Sample scans are in {options.samples}.")
        return
    known = phantom.SET_PRESETS if options.layout is None else tuple(phantom.PRESETS)
    if options.preset not in known:
        raise RequestError(f"there is no preset {options.preset}; these exist: {', '.join(known)}")
    if options.layout is not None:
        studies = phantom.write_studies(
            options.out,
            options.layout,
            count=options.count,
            seed=options.seed,
            preset=options.preset,
            workers=options.workers,
        )
        written = list(tqdm(studies, desc=f"studies in {options.out}", total=options.count, unit="study"))
        say(f"{len(written)} studies in the layout {options.layout} are in {options.out}.")
        return
    write_phantoms(options.out, PhantomSet(options.count, options.seed, options.preset), options.workers)
    say(f"{options.count} scans are in {options.out}.")
