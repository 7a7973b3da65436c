"""What a recipe may choose from; the names stand in recipes, on the command line and in `run.json`."""

from enum import StrEnum


class LossKind(StrEnum):
    """What training minimises; see `metseg_trainer.training.losses`."""

    CROSS_ENTROPY = "cross_entropy"
    DICE_CROSS_ENTROPY = "dice_cross_entropy"
    LESION_DICE_CROSS_ENTROPY = "lesion_dice_cross_entropy"
    FOCAL_TVERSKY = "focal_tversky"


class OptimizerKind(StrEnum):
    """How training steps: Adam (Kingma & Ba, ICLR 2015) or AdamW (Loshchilov & Hutter, ICLR 2019)."""

    ADAM = "adam"
    ADAMW = "adamw"


class Precision(StrEnum):
    """What layers compute in; variables are float32 in any case.

    `auto` is float16 with loss scaling on a GPU, bfloat16 on a processor that multiplies it, else float32.
    """

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "mixed_bfloat16"
    FLOAT16 = "mixed_float16"
