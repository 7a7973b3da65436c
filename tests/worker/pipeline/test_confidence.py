"""The confidence of a lesion, from the card through a whole job to every place where it is told."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from calibrated import fitted
from hostile_files import nifti
from pdf_words import words_of
from phantoms import card, png
from redis_fixture import RedisServer
from workplace import Workplace, workplace

from metseg.lesions.confidence import confidence_of
from metseg.schemas.job import JobState
from metseg.schemas.model_card import CARD_PATH
from metseg.schemas.report import Report

KNOWN = card(confidence=[fitted(0.5)])


@dataclass(frozen=True)
class Told:
    """What a job tells: the report, the cells of `lesions.csv` and the words of the document."""

    report: Report
    cells: list[str]
    pages: list[str]

    @property
    def confidences(self) -> list[float | None]:
        return [lesion.confidence for lesion in self.report.lesions]


@pytest.fixture(scope="module")
def calibrated_place(tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer) -> Iterator[Workplace]:
    """A workplace whose model has a confidence in its card."""
    with workplace(tmp_path_factory.mktemp("calibrated"), worker_redis) as made:
        KNOWN.write(made.folder / "models" / KNOWN.name / "1" / CARD_PATH)
        yield made


def two_lesions() -> bytes:
    """A head with a ball inside, and one that the first slice cuts off."""
    index = np.moveaxis(np.indices((60, 60, 20)), 0, -1)
    array = np.where(np.linalg.norm((index - (30, 30, 10))[..., :2], axis=-1) < 26, 100, 0)
    for centre, radius in (((24, 24, 10), 5), ((38, 38, 0), 3)):
        array[np.linalg.norm(index - centre, axis=-1) <= radius] = 1000
    return nifti(array.astype(np.int16), np.diag((3.0, 3.0, 3.0, 1.0)))


def tell(place: Workplace, content: bytes, **request: object) -> Told:
    job_id = place.submit(content, **request)
    final = place.attempt(job_id)
    assert final is not None
    assert final.state is JobState.SUCCEEDED
    with place.artefact(job_id, "lesions.csv").open(newline="") as file:
        cells = [row["confidence"] for row in csv.DictReader(file)]
    report = Report.model_validate_json(place.artefact(job_id, "report.json").read_bytes())
    return Told(report, cells, words_of(place.artefact(job_id, "report.pdf").read_bytes()))


@pytest.fixture(scope="module")
def told(calibrated_place: Workplace) -> Told:
    return tell(calibrated_place, two_lesions())


def test_report_table_and_document_tell_what_the_card_makes_of_a_lesion(told: Told) -> None:
    inside, _ = told.report.lesions
    assert inside.confidence == pytest.approx(confidence_of(inside, KNOWN.confidence[0]))
    assert 0.5 < inside.confidence < 1
    assert told.cells[0] == f"{inside.confidence:.4f}"
    assert f"{inside.confidence:.2f}" in told.pages[0].split()
    assert "Confid." in told.pages[0]


def test_a_lesion_that_the_first_slice_cuts_off_has_none_and_the_report_warns(told: Told) -> None:
    assert [lesion.touches_border for lesion in told.report.lesions] == [False, True]
    assert told.confidences[1] is None
    assert told.cells[1] == ""
    assert any("reaches the border" in warning for warning in told.report.warnings)


def test_the_document_says_how_good_the_confidence_is(told: Told) -> None:
    appendix = " ".join(" ".join(told.pages[1:]).split())
    assert "Confidence of lesions at threshold 0.5: Brier score 0.15 (0.10 to 0.20)" in appendix


def test_a_threshold_that_was_not_calibrated_gives_none(calibrated_place: Workplace) -> None:
    other = tell(calibrated_place, two_lesions(), threshold=0.6)
    assert other.confidences == [None, None]
    assert other.cells == ["", ""]


def test_a_picture_gives_none(calibrated_place: Workplace) -> None:
    assert tell(calibrated_place, png()).confidences == [None]


def test_a_card_of_before_gives_none(place: Workplace) -> None:
    before = tell(place, two_lesions())
    assert before.confidences == [None, None]
    assert "Brier" not in " ".join(before.pages)
