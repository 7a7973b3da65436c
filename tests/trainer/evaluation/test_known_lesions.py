"""What becomes of synthetic lesions, by kind, size and skull."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import phantoms
import pytest

from metseg.errors import InputError
from metseg.imaging.nifti import write_nifti
from metseg.schemas.model_card import ModelCard, Preprocessing
from metseg_trainer.datasets import find_cases, read_lesions
from metseg_trainer.datasets.synthetic import SyntheticTruth, read_synthetic_truth
from metseg_trainer.evaluation.cases import CaseResult, NumberedLesions, OperatingPoint
from metseg_trainer.evaluation.evaluate import Subject, measure
from metseg_trainer.evaluation.known_lesions import (
    ALL,
    CHANGED,
    compare_pairs,
    count_false,
    count_known,
    describe_known,
    known_document,
    known_scores,
)
from metseg_trainer.evaluation.operating_point import ChosenPoints
from metseg_trainer.evaluation.report import read_report
from metseg_trainer.evaluation.scores import SetFindings
from metseg_trainer.metrics.lesionwise import Lesionwise
from metseg_trainer.metrics.overlap import Overlap
from metseg_trainer.phantom import PRESETS, LesionKind, write_scans
from metseg_trainer.reporting.write_evaluation import write_evaluation


def _result(patient: str, truth: SyntheticTruth | None, found: tuple[bool, ...], false: int = 0) -> CaseResult:
    voxels = Overlap(0.5, 0.5, 0.5, 0.5)
    diameters = () if truth is None else truth.diameters_mm
    numbered = NumberedLesions(diameters, found, false)
    return CaseResult(patient, patient, None, "mm", voxels, 1.0, 1.0, Lesionwise((), 0), numbered, truth)


KINDS = ("cyst_with_nodule", "ring", "solid")
SIZES = (30.0, 12.0, 4.0)


@pytest.fixture
def findings() -> SetFindings:
    """Two heads, each with and without skull."""
    whole, stripped = (SyntheticTruth(bare, KINDS, SIZES) for bare in (False, True))
    results = [
        _result("a", whole, (True, True, True), 1),
        _result("a", stripped, (False, True, True), 3),
        _result("b", whole, (True, False, False), 0),
        _result("b", stripped, (True, False, False), 0),
    ]
    return SetFindings("hard", results, [], {}, volumes=True)


def test_lesions_are_counted_by_kind_and_size_with_and_without_skull(findings: SetFindings):
    rows = {(row.heads, row.name): (row.found, row.lesions) for row in count_known(findings)}
    assert rows["all", ALL] == (7, 12)
    assert rows["all", "cyst_with_nodule"] == (3, 4)
    assert rows["with skull", "cyst_with_nodule"] == (2, 2)
    assert rows["stripped", "cyst_with_nodule"] == (1, 2)
    assert rows["stripped", "ring"] == (1, 2)
    assert rows["all", "below 5 mm"] == (2, 4)
    assert rows["all", "25 mm and more"] == (3, 4)
    assert rows["all", "5 to 10 mm"] == (0, 0)
    assert {heads: one.value for heads, one in count_false(findings).items()} == {
        "all": 1.0,
        "with skull": 0.5,
        "stripped": 1.5,
    }


def test_what_stripping_changes_is_told_of_heads_that_were_scanned_both_ways(findings: SetFindings):
    changed = compare_pairs(findings)
    assert changed is not None
    assert changed.value == pytest.approx(1 / 6)
    alone = replace(findings, results=findings.results[::3])
    assert compare_pairs(alone) is None


def test_the_table_and_the_card_tell_kinds_and_skulls(findings: SetFindings):
    table = describe_known(findings)
    assert any("cyst_with_nodule" in line and "3/4 (0.75)" in line and "1/2 (0.50)" in line for line in table)
    assert any(CHANGED in line and "0.167" in line for line in table)
    scores = {score.metric: score.value for score in known_scores(findings, "x")}
    assert scores["share of lesions found, ring, all (4 lesions)"] == 0.5
    assert scores["share of lesions found, all lesions, stripped (6 lesions)"] == 0.5
    assert scores[CHANGED] == pytest.approx(1 / 6, abs=1e-4)


def test_real_scans_have_none_of_this():
    findings = SetFindings("real", [_result("a", None, (True,))], [], {}, volumes=True)
    assert count_known(findings) == []
    assert compare_pairs(findings) is None
    assert known_document(findings) is None
    assert describe_known(findings) == []
    assert known_scores(findings, "x") == []


@pytest.fixture(scope="module")
def hard_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One head of the hard preset at 6 mm, with and without skull."""
    folder = tmp_path_factory.mktemp("hard")
    coarse = {
        "template_step": 3,
        "thick_share": 0.0,
        "thin_in_plane_mm": (6.0, 6.0),
        "lesions": ((LesionKind.NODULAR_CYST, 40.0), (LesionKind.SOLID, 20.0)),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("hard_whole", "hard_stripped"):
            patch.setitem(PRESETS, name, replace(PRESETS[name], **coarse))
        write_scans(folder, count=2, seed=3, preset="hard_pairs")
    return folder


def test_the_truth_beside_a_synthetic_scan_is_read(hard_pair: Path):
    truths = [read_synthetic_truth(case) for case in find_cases(hard_pair)]
    assert [truth.stripped for truth in truths if truth] == [False, True]
    assert truths[0] is not None
    assert truths[0].kinds == ("cyst_with_nodule", "solid")
    assert truths[0].diameters_mm == (40.0, 20.0)


def test_a_truth_that_is_missing_is_named(hard_pair: Path, tmp_path: Path):
    case = replace(find_cases(hard_pair)[0], image=tmp_path / "images" / "phantom_0001.nii.gz")
    with pytest.raises(InputError, match="write the set again"):
        read_synthetic_truth(case)


def test_a_truth_of_before_tells_a_bare_head(tmp_path: Path, hard_pair: Path):
    (tmp_path / "truth").mkdir()
    document = {"settings": {"bare": True}, "lesions": [{"kind": "ring", "diameter_mm": 9.0}]}
    (tmp_path / "truth" / "phantom_0001.json").write_text(json.dumps(document))
    case = replace(find_cases(hard_pair)[0], image=tmp_path / "images" / "phantom_0001.nii.gz")
    assert read_synthetic_truth(case) == SyntheticTruth(True, ("ring",), (9.0,))


def test_an_evaluation_writes_it_into_report_card_page_and_table(hard_pair: Path, tmp_path: Path):
    def predict(batches):
        for batch in batches:
            yield (batch[..., 1:2] > 150).astype(np.float32)

    cases = {"hard": find_cases(hard_pair)}
    subject = Subject(phantoms.card(preprocessing=Preprocessing(size=64)), predict)
    report = measure(subject, cases, ChosenPoints(OperatingPoint(), ()), command="do this")
    said: list[str] = []
    path = tmp_path / "report.json"
    write_evaluation(report, subject, cases, path, say=said.append)
    document = json.loads(path.read_text())["sets"]["hard"]
    assert {row["heads"] for row in document["known_lesions"]["lesions"]} == {"all", "with skull", "stripped"}
    assert 0 <= document["known_lesions"]["changed_by_stripping"]["value"] <= 1
    assert document["cases"][1]["synthetic"]["stripped"] is True
    assert read_report(path).evidence.by_kind
    card = ModelCard.read(path.with_suffix(".card.json"))
    assert card.evidence is not None
    assert any("cyst_with_nodule" in score.metric for score in card.evidence.by_kind)
    assert "cyst_with_nodule" in path.with_suffix(".html").read_text()
    assert any("cyst_with_nodule" in line for line in said)


def test_a_mask_that_is_not_its_truths_is_refused(hard_pair: Path, tmp_path: Path):
    case = find_cases(hard_pair)[0]
    labels = read_lesions(case)
    write_nifti(tmp_path / "mask.nii.gz", labels.with_array((labels.array > 0).astype(np.uint8)))
    card = phantoms.card(preprocessing=Preprocessing(size=64))
    subject = Subject(card, lambda batches: (batch[..., :1] * 0 for batch in batches))
    with pytest.raises(InputError, match="names 2"):
        measure(
            subject,
            {"one": [replace(case, mask=tmp_path / "mask.nii.gz")]},
            ChosenPoints(OperatingPoint(), ()),
            command="x",
        )
