"""Each artefact says what made it, and the same job gives the same bytes again."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_series import classic, to_bytes, zipped
from hostile_files import nifti
from phantoms import affine_of, card, png
from PIL import Image
from workplace import Workplace

from metseg.imaging.volume import Volume
from metseg.schemas.report import Report


def note_of_nifti(path: Path) -> str:
    [extension] = nibabel.load(path).header.extensions
    assert extension.get_code() == 6
    return extension.content.rstrip(b"\0").decode()


def note_of_png(path: Path) -> str:
    with Image.open(path) as image:
        return image.text["Comment"]


def note_of_csv(path: Path) -> str:
    with path.open(newline="") as file:
        return next(csv.DictReader(file))["made_by"]


def note_of_pdf(path: Path) -> str:
    [keywords] = re.findall(rb"/Keywords \((.*?)\)\n", path.read_bytes(), re.DOTALL)
    return re.sub(rb"\\(.)", rb"\1", keywords).decode()


def dicom() -> bytes:
    """A series as a zip file, with a bright block in it."""
    array = np.full((32, 32, 8), 100, np.uint16)
    array[10:16, 10:16, 3:6] = 1000
    images = classic(Volume(array, affine_of(("L", "A", "S"), (6, 6, 6))))
    return zipped({str(number): to_bytes(image) for number, image in enumerate(images)})


NOTES: dict[str, Callable[[Path], str]] = {
    ".gz": note_of_nifti,
    ".png": note_of_png,
    ".csv": note_of_csv,
    ".pdf": note_of_pdf,
}


@pytest.mark.parametrize("source", [nifti, png])
def test_every_artefact_says_what_made_it(place: Workplace, source: Callable[[], bytes]):
    job_id = place.submit(source())
    final = place.attempt(job_id)
    record = place.store.load(job_id)
    report = Report.model_validate_json(place.artefact(job_id, "report.json").read_text())
    names = [artefact.name for artefact in final.artefacts if artefact.name != "report.json"]
    assert len(names) > 4
    for name in names:
        note = json.loads(NOTES[Path(name).suffix](place.artefact(job_id, name)))
        assert note["job"] == job_id, name
        assert note["model"] == record.model.model_dump(exclude={"members"}), name
        assert note["inputs"] == [{"size_bytes": len(source()), "sha256": record.inputs[0].sha256}], name
        assert note["weights_sha256"] == card().weights_sha256, name
        assert note["preprocessing"]["spacing_mm"] == card().preprocessing.spacing_mm, name
        assert note["software"]["metseg"] == report.software["metseg"], name
        assert note["device"] == report.provenance.device == "a test", name


@pytest.mark.parametrize("source", [nifti, png, dicom])
def test_a_job_done_twice_gives_the_same_bytes(place: Workplace, source: Callable[[], bytes]):
    job_id = place.submit(source())
    first = place.attempt(job_id)
    folder = place.folder / "store" / "jobs" / job_id
    shutil.rmtree(folder / "attempts")
    (folder / "final.json").unlink()
    second = place.attempt(job_id)
    assert first.artefacts == second.artefacts
    assert first.finished_at < second.finished_at
