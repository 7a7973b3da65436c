"""Weights as they ship: half precision, in Keras's own file format, without pickles."""

import hashlib
import os
from pathlib import Path

import h5py
import keras
import numpy as np

from metseg.errors import InputError


def save_half_precision(network: keras.Model, path: Path) -> None:
    """Write a network's weights as float16; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        network.save_weights(unfinished)
        _halve(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_weights(network: keras.Model, path: Path) -> None:
    """Load weights of any precision.

    Raises:
        InputError: The file is missing, damaged, or belongs to another network.
    """
    try:
        network.load_weights(path)
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"{path} holds no weights of {network.name} in this preset.") from exc


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of a weights file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _halve(path: Path) -> None:
    halved = path.with_name(f"{path.name}.half")
    with h5py.File(path, "r") as source, h5py.File(halved, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                made = target.require_group(name)
            else:
                values = item[()]
                if values.dtype == np.float32:
                    values = values.astype(np.float16)
                made = target.create_dataset(name, data=values, track_times=False)
            made.attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    halved.replace(path)
