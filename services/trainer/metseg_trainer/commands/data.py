"""Looking at a data set before training on it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metseg.errors import RequestError
from metseg.schemas.model_card import NOT_STATED, Preprocessing
from metseg_trainer.commands.output import say
from metseg_trainer.datasets import LAYOUTS, Case, Target, choose_layout, find_cases
from metseg_trainer.datasets.splits import PATIENT_SEED, draw_patients

if TYPE_CHECKING:
    from metseg_trainer.datasets.summary import CaseFacts
    from metseg_trainer.recipes.recipe import Source
    from metseg_trainer.training_data.sources import Paths

FOLDS = 5

SHORT = "summarise and check images and masks"

DESCRIPTION = """\
Summarise what a folder can teach: layout, cases and patients by part, sizes and numbers of lesions, their contrast
and build, how many enhance, and whether heads have a skull. With --list each case is listed, too. Then run every
check that stands before a training, and write the manifest: each file with its SHA-256.

What stops, with a sentence that names the file: an image without its mask, a mask of another size, a value outside
of the label scheme, labels that look swapped, a patient in two parts of the split, and an image that is on both
sides of it, be it the same file or nearly the same picture.

Layouts: brats-mets (Pretreat-MetsToBrain-Masks too), brats-gli, brats-men, ucsf-bmsr, brainmetshare, kaggle-lgg,
phantom, and folder:

  folder/images/<case>.<ending>  and  folder/masks/<case>.<ending>     pictures or NIfTI
  folder/<case>_t1c.nii.gz       and  folder/<case>_mask.nii.gz

Targets: whole_tumour (NETC, SNFH and ET), tumour_core (NETC and ET), enhancing (ET), classes (each apart, for a
softmax), and lesion where masks do not tell parts."""

EXAMPLES = """\
examples:
  metseg-train data --cases Pretreat-MetsToBrain-Masks --target tumour_core --validation-share 0.2
  metseg-train data --cases my-slices --disease meningioma --manifest runs/my-slices.json
  metseg-train data --cases my-slices --list
  metseg-train data --cases ../shared/data/cheng_t1c --write-folds splits/cheng_t1c.json
  metseg-train data --cases ../shared/data/cheng_t1c --split splits/cheng_t1c.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR", help="the data set's folder")
    add_labelling(parser)
    parser.add_argument("--disease", help="what the lesions are, where the layout does not know")
    split = parser.add_mutually_exclusive_group()
    split.add_argument(
        "--split", type=Path, metavar="FILE", help="folds by names of cases, as splits/cheng_t1c.json"
    )
    split.add_argument(
        "--write-folds",
        type=Path,
        metavar="FILE",
        help=f"deal the patients out to {FOLDS} folds, by class and enhancement of their tumours, and write them",
    )
    split.add_argument(
        "--validation-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the patients to keep, drawn from each class alike (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=PATIENT_SEED, help="of the patients that are drawn (%(default)s)"
    )
    parser.add_argument("--fold", type=int, default=0, help="with --split, the fold that is kept (%(default)s)")
    parser.add_argument("--list", action="store_true", help="say of each case, too, what it holds")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="where to write the manifest")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="prepared slices (%(default)s)"
    )


def add_labelling(parser: argparse.ArgumentParser) -> None:
    """Declare how a folder and its masks are read."""
    parser.add_argument("--layout", choices=list(LAYOUTS), help="how the files lie (found by what is there)")
    parser.add_argument(
        "--target",
        type=Target,
        choices=list(Target),
        metavar="TARGET",
        help=f"what counts as lesion: {', '.join(Target)} (the layout's usual one)",
    )


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    from metseg_trainer.training_data.checks import check_sources
    from metseg_trainer.training_data.manifest import build_manifest
    from metseg_trainer.training_data.sources import Paths

    layout = choose_layout(options.cases, options.layout)
    labelling = layout.labelling(options.target)
    cases = find_cases(options.cases, layout=layout.name, target=labelling.target)
    say(f"{layout.title} (layout {layout.name}): {options.disease or layout.disease}, {layout.sequence} images")
    say(f"lesion is {labelling.target.value}; values of a mask: {labelling.scheme}")
    if options.write_folds is not None:
        _write_folds(options, cases)
    source = _source(options, layout.name, cases)
    places = Paths(options.cases, options.cases, Path(), options.cache)
    _summarise(source, places, cases, list_cases=options.list)
    check_sources([source], places, Preprocessing())
    say("No image is on both sides of the split, and no labels look swapped.")
    manifest = build_manifest(source, places)
    if options.manifest is not None:
        manifest.write(options.manifest)
        say(f"The manifest is in {options.manifest}.")
    say(f"Manifest digest {manifest.digest}")
    if manifest.disease == NOT_STATED:
        say("What disease this is, is not stated: name it by --disease, so that the model's card can say it.")


def _source(options: argparse.Namespace, layout: str, cases: Sequence[Case]) -> "Source":
    from metseg_trainer.recipes.recipe import Source

    split = options.split or options.write_folds
    drawn = () if split else draw_patients(cases, options.validation_share, options.seed)
    return Source(
        options.cases.name,
        str(options.cases.resolve()),
        split=None if split is None else _without_ending(split),
        fold=options.fold,
        validation_patients=drawn,
        layout=layout,
        target=cases[0].labelling.target,
        disease=options.disease,
    )


def _write_folds(options: argparse.Namespace, cases: Sequence[Case]) -> None:
    from metseg_trainer.datasets.enhancement import strata_of
    from metseg_trainer.datasets.prepared_cases import load_cases
    from metseg_trainer.datasets.splits import build_folds, write_folds

    strata = strata_of(cases, load_cases(cases, Preprocessing(), options.cache))
    folds = build_folds(cases, strata, FOLDS, options.seed)
    rule = f"Patients dealt out to {FOLDS} folds by class and enhancement of their tumours, seed {options.seed}."
    write_folds(options.write_folds, folds, dataset=options.cases.name, rule=rule)
    say(f"The folds are in {options.write_folds}.")


def _summarise(source: "Source", places: "Paths", cases: Sequence[Case], *, list_cases: bool) -> None:
    """Say what the cases hold, all together and, if wanted, one by one.

    Raises:
        InputError: A case cannot be read, or none shows a lesion.
    """
    from metseg_trainer.datasets.prepared_cases import load_cases
    from metseg_trainer.datasets.summary import expect_lesions, list_facts
    from metseg_trainer.training_data.manifest import UNUSED
    from metseg_trainer.training_data.sources import parts_of
    from metseg_trainer.training_data.statistics import LEGEND, describe, measure_case

    part_of = {case.name: part for part, names in parts_of(source, places).items() for case in names}
    facts = []
    for fact in list_facts(cases):
        facts.append(fact)
        if list_cases:
            say(_case_line(fact, part_of.get(fact.case.name, UNUSED)))
    expect_lesions(facts, source.name)
    say(_totals(part_of, {case.name: case.patient for case in cases}))
    say(f"masks hold the values {', '.join(map(str, sorted({value for fact in facts for value in fact.values})))}")
    prepared = load_cases(cases, Preprocessing(), places.cache)
    statistics = [measure_case(fact, made) for fact, made in zip(facts, prepared, strict=True)]
    for line in (*describe(statistics), LEGEND):
        say(line)


def _case_line(fact: "CaseFacts", part: str) -> str:
    names = fact.case.labelling.names
    voxels = ", ".join(f"{count} {name}" for count, name in zip(fact.lesion_voxels, names, strict=True))
    return (
        f"{fact.case.name}  patient {fact.case.patient}  {part}  "
        f"{'×'.join(map(str, fact.shape))}  values {', '.join(map(str, fact.values))}  "
        f"{fact.lesions} lesions  voxels: {voxels}"
    )


def _totals(part_of: Mapping[str, str], patient_of: Mapping[str, str]) -> str:
    told = []
    for part in ("train", "validation"):
        names = [name for name, its_part in part_of.items() if its_part == part]
        told.append(f"{part} {len(names)} cases of {len({patient_of[name] for name in names})} patients")
    unused = len(patient_of) - len(part_of)
    return f"{len(patient_of)} cases: {', '.join(told)}" + (f", {unused} unused" if unused else "")


def _without_ending(path: Path) -> str:
    """Name a split's file as a source does.

    Raises:
        RequestError: It does not end in .json.
    """
    if path.suffix != ".json":
        raise RequestError(f"expected a split named *.json, got {path}")
    return str(path.resolve().with_suffix(""))
