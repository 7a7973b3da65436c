"""Metastasis-like lesions in real slices, and heads without a skull, made while training draws its samples."""

from metseg_trainer.implants.implanter import Implant, Implanted, Implanter
from metseg_trainer.implants.pasting import Tumour, TumourBank, collect_tumours
from metseg_trainer.implants.settings import ImplantSettings, Kind, Odds
from metseg_trainer.implants.stripping import StripSettings, strip_skull

__all__ = [
    "Implant",
    "ImplantSettings",
    "Implanted",
    "Implanter",
    "Kind",
    "Odds",
    "StripSettings",
    "Tumour",
    "TumourBank",
    "collect_tumours",
    "strip_skull",
]
