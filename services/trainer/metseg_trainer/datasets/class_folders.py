"""Pictures sorted into one folder a class, as `metseg-train pretrain` takes them.

    folder/train/<class>/<picture>  and  folder/val/<class>/<picture>

A picture is prepared as the segmenter's slices are, so that what the encoder learns holds there.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError, UnsupportedInputError
from metseg.imaging.scan import read_scan
from metseg.inference.preprocessing import prepare
from metseg.schemas.model_card import Preprocessing

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
TRAIN, VALIDATION = "train", "val"


@dataclass(frozen=True)
class LabelledPicture:
    """A file and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class ClassFolders:
    """A folder of classes.

    Attributes:
        classes: Names, in the order of the indices.
        train: Every class has at least one picture.
        validation: The same.
    """

    classes: tuple[str, ...]
    train: tuple[LabelledPicture, ...]
    validation: tuple[LabelledPicture, ...]


def find_class_folders(folder: Path) -> ClassFolders:
    """List the pictures of each class.

    Raises:
        InputError: `train` or `val` is missing, they hold different classes or fewer than two, or one is empty.
    """
    named = {part: _class_names(folder / part) for part in (TRAIN, VALIDATION)}
    differing = named[TRAIN] ^ named[VALIDATION]
    if differing:
        raise InputError(
            f"{folder} needs the same classes in {TRAIN}/ and {VALIDATION}/; "
            f"one of them alone has {min(differing)}."
        )
    classes = tuple(sorted(named[TRAIN]))
    if len(classes) < 2:
        raise InputError(f"{folder / TRAIN} needs two classes or more, each a folder; it has {len(classes)}.")
    train, validation = (tuple(_pictures(folder / part, classes)) for part in (TRAIN, VALIDATION))
    return ClassFolders(classes, train, validation)


def read_pictures(pictures: Sequence[LabelledPicture], size: int) -> NDArray[np.uint8]:
    """Read pictures at one size, (n, size, size), with their aspect kept.

    Raises:
        InputError: A file cannot be read or is no picture; the message names it.
    """
    read = np.empty((len(pictures), size, size), np.uint8)
    for number, picture in enumerate(pictures):
        read[number] = _read(picture.path, size)
    return read


def check_parts(folders: ClassFolders, train: NDArray[np.uint8], validation: NDArray[np.uint8]) -> None:
    """Stop where a picture stands in both parts.

    Raises:
        InputError: Two pictures look the same; the message names them.
    """
    seen = {_digest(pixels): item.path for item, pixels in zip(folders.train, train, strict=True)}
    for item, pixels in zip(folders.validation, validation, strict=True):
        twin = seen.get(_digest(pixels))
        if twin is not None:
            raise InputError(f"{item.path} shows the same as {twin}: one picture cannot both train and validate.")


def _class_names(part: Path) -> set[str]:
    if not part.is_dir():
        raise InputError(
            f"{part} is missing; expected {part.parent.name}/{TRAIN}/<class>/… and "
            f"{part.parent.name}/{VALIDATION}/<class>/… with pictures."
        )
    return {path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith(".")}


def _pictures(part: Path, classes: Sequence[str]) -> Iterator[LabelledPicture]:
    for label, name in enumerate(classes):
        paths = sorted(path for path in (part / name).iterdir() if path.name.lower().endswith(ENDINGS))
        if not paths:
            raise InputError(f"{part / name} holds no picture ({', '.join(ENDINGS)}).")
        yield from (LabelledPicture(path, label) for path in paths)


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        scan = read_scan(path)
        if not scan.is_picture:
            raise UnsupportedInputError("expected a picture of one slice, got a volume")
        (pixels,) = prepare(scan, Preprocessing(size=size)).pixels
    except InputError as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    return np.asarray(pixels)


def _digest(pixels: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest()
