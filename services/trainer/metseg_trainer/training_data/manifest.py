"""What exactly a model was trained on: every file of a data set with its digest, patient and part."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from metseg_trainer.datasets import Case, choose_layout
from metseg_trainer.datasets.cases import files_of
from metseg_trainer.recipes.recipe import Source
from metseg_trainer.training_data.sources import Paths, disease_of, folder_of, parts_of

UNUSED = "unused"


@dataclass(frozen=True)
class Entry:
    """An image or a mask.

    Attributes:
        path: Below the data set's folder.
        sha256: Of the file; of a folder of pictures, over their names and digests.
        size_bytes: Of all its files.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Listed:
    """One case of a manifest; `part` is train, validation or unused."""

    name: str
    patient: str
    part: str
    label: str | None
    image: Entry
    mask: Entry | None


@dataclass(frozen=True)
class Manifest:
    """A data set as it was used; it says nothing of where on a machine it lay.

    Attributes:
        dataset: What the recipe calls it.
        layout: As in `metseg_trainer.datasets`.
        disease: What its lesions are.
        sequence: What its images are.
        target: What of its masks counts as lesion.
        scheme: The meaning of its masks' values.
        cases: Ordered by name.
    """

    dataset: str
    layout: str
    disease: str
    sequence: str
    target: str
    scheme: str
    cases: tuple[Listed, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, the same on every machine."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the manifest with its digest as JSON."""
        content = {"schema_version": 1, "sha256": self.digest, **asdict(self)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def build_manifest(source: Source, places: Paths) -> Manifest:
    """Read every file of a source and write down what it is; see `parts_of` for what is refused."""
    folder = folder_of(source, places)
    layout = choose_layout(folder, source.layout)
    labelling = layout.labelling(source.target)
    parts = parts_of(source, places)
    part_of = {case.name: part for part, cases in parts.items() for case in cases}
    found = layout.find(folder, labelling)
    return Manifest(
        dataset=source.name,
        layout=layout.name,
        disease=disease_of(source, places),
        sequence=layout.sequence,
        target=labelling.target.value,
        scheme=labelling.scheme,
        cases=tuple(_listed(case, part_of.get(case.name, UNUSED), folder) for case in found),
    )


def manifest_digest(source: Source, places: Paths) -> str:
    """Return the digest of a source's manifest, as it stands in `run.json` and in the model card."""
    return build_manifest(source, places).digest


def hash_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of a file, or over the names and digests of several."""
    digests = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _listed(case: Case, part: str, folder: Path) -> Listed:
    mask = None if case.mask is None else _entry(case.mask, folder)
    return Listed(case.name, case.patient, part, case.label, _entry(case.image, folder), mask)


def _entry(path: Path, folder: Path) -> Entry:
    files = files_of(path)
    return Entry(path.relative_to(folder).as_posix(), hash_files(files), sum(one.stat().st_size for one in files))
