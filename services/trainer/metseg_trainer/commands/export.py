"""Writing what TF Serving hosts."""

import argparse
from pathlib import Path

from metseg.errors import InputError
from metseg.schemas.model_card import CARD_PATH, ModelCard
from metseg_trainer.commands.output import say
from metseg_trainer.commands.paths import add_places, find_places
from metseg_trainer.keras_start import load_keras
from metseg_trainer.training.run_folder import RunFolder

SHORT = "write what TF Serving hosts"

DESCRIPTION = """\
Write what TF Serving hosts: a frozen SavedModel with batch norm folded in, its card and warm-up requests, compared
with the Keras network on the way. From a training run, the weights are first rounded to half precision and kept
with their card in the weights folder, which is what the project ships; from shipped weights the export is made
again."""

EXAMPLES = """\
examples:
  metseg-train export --run runs/shipped --data ../shared/data --models models
  metseg-train export --run runs/nested --level 3 --models models       (once evaluate --level 3 has measured it)
  metseg-train export --weights models/weights/attention_unet-1.weights.h5 --models models
  metseg-train export --all-shipped --models models        (skips what is there already)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, metavar="DIR", help="a training run with its report")
    what.add_argument("--weights", type=Path, metavar="FILE", help="shipped weights; their card lies beside them")
    what.add_argument("--all-shipped", action="store_true", help="every weights file of the weights folder")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where models go (%(default)s)")
    parser.add_argument(
        "--shipped", type=Path, metavar="DIR", help="the weights folder (weights in the models folder)"
    )
    parser.add_argument("--version", type=int, default=1, help="with --run: the model's version (%(default)s)")
    parser.add_argument(
        "--level",
        type=int,
        metavar="N",
        help="with --run of a U-Net++: keep what head N needs, 1 to 4; measure it before, by evaluate --level",
    )
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    load_keras()
    from metseg_trainer.export import shipped_weights
    from metseg_trainer.training.pruning import prune_run

    shipped = options.shipped or options.models / "weights"
    if options.run is not None:
        folder = prune_run(RunFolder(options.run), options.level)
        recipe = folder.read_recipe()
        places = find_places(options, recipe, None)
        weights = [shipped_weights.ship(folder, recipe, places, shipped, version=options.version)]
    elif options.weights is not None:
        weights = [options.weights]
    else:
        weights = sorted(shipped.glob(f"*{shipped_weights.WEIGHTS_ENDING}"))
    if not weights:
        raise InputError(f"{shipped} holds no weights.")
    for path in weights:
        target, made = shipped_weights.export_shipped(path, options.models, again=not options.all_shipped)
        say(f"{target}: {'written' if made else 'there already'}, card {_digest(target)}")


def _digest(target: Path) -> str:
    return ModelCard.read(target / CARD_PATH).digest[:12]
