"""A picture of what training sees."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from metseg.errors import RequestError
from metseg.schemas.model_card import Clahe, Preprocessing
from metseg_trainer.commands.data import add_labelling
from metseg_trainer.commands.output import say
from metseg_trainer.datasets import find_cases
from metseg_trainer.keras_start import load_keras

MOST_CLIPPED = 100

SHORT = "draw augmented samples with their masks"

DESCRIPTION = """\
Draw a contact sheet: one row a slice, unchanged on the left, then as training changes it by chance, with the
outline of its mask (a colour for each class). Three rows out of four show a lesion where there are such slices.
With --implants each picture is another training sample with painted lesions, their kinds and diameters."""

EXAMPLES = """\
examples:
  metseg-train sheet --cases ../shared/data/cheng_t1c --out sheet.png
  metseg-train sheet --cases Pretreat-MetsToBrain-Masks --target classes --rows 8 --out sheet.png
  metseg-train sheet --cases my-slices --gain 0.9 --clahe 2 --out sheet.png
  metseg-train sheet --cases my-slices --implants --strip 0.4 --rows 10 --columns 10 --out sheet.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR", help="the data set's folder")
    add_labelling(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the PNG to write")
    parser.add_argument("--rows", type=int, default=6, help="slices (%(default)s)")
    parser.add_argument("--columns", type=int, default=6, help="pictures of each slice (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="names the sheet (%(default)s)")
    parser.add_argument(
        "--gain", type=float, default=0.0, help="largest logarithm of a global factor (%(default)s)"
    )
    parser.add_argument("--implants", action="store_true", help="draw samples with implanted lesions instead")
    parser.add_argument("--strip", type=float, default=0.0, help="chance of a stripped skull (%(default)s)")
    parser.add_argument("--clahe", type=float, metavar="LIMIT", help="equalise with this clip limit first")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="prepared slices (%(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Carry it out.

    Raises:
        RequestError: A number is out of its range.
    """
    load_keras()
    from metseg_trainer.batches.contact_sheet import draw_implants, draw_sheet
    from metseg_trainer.batches.sampling import make_pool
    from metseg_trainer.batches.shares import Share
    from metseg_trainer.datasets.prepared_cases import load_cases
    from metseg_trainer.implants import Implanter, ImplantSettings, collect_tumours
    from metseg_trainer.recipes.recipe import HEAD, STRONG

    if options.rows < 1 or options.columns < 1:
        raise RequestError(f"expected a row and a column or more, got {options.rows} and {options.columns}")
    if options.clahe is not None and not 1 <= options.clahe <= MOST_CLIPPED:
        raise RequestError(f"expected a clip limit from 1 to {MOST_CLIPPED}, got {options.clahe:g}")
    if not 0 <= options.strip <= 1:
        raise RequestError(f"expected a chance from 0 to 1, got {options.strip:g}")
    cases = find_cases(options.cases, layout=options.layout, target=options.target)
    rules = Preprocessing(clahe=None if options.clahe is None else Clahe(clip_limit=options.clahe))
    seen = cases[:: max(len(cases) // (4 * options.rows), 1)]
    pool = make_pool(load_cases(seen, rules, options.cache), Share(options.rows, lesion_fraction=0.75))
    strength = replace(STRONG, gain=options.gain, strip=options.strip)
    if options.implants:
        count = options.rows * options.columns
        tumours = collect_tumours(pool.cases, np.random.default_rng(options.seed))
        implanter = Implanter(ImplantSettings(), tumours)
        pool = replace(pool, share=Share(count, lesion_fraction=0.75), implanter=implanter)
        draw_implants(options.out, [pool], strength, frame=HEAD, columns=options.columns, seed=options.seed)
        say(f"{count} samples with implants are in {options.out}.")
        return
    draw_sheet(options.out, [pool], strength, frame=HEAD, columns=options.columns, seed=options.seed)
    say(f"{options.rows} slices, {options.columns} times each, are in {options.out}.")
