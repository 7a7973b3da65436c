import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from metseg.errors import InputError, RequestError
from metseg_trainer.datasets import Case
from metseg_trainer.datasets.splits import (
    Split,
    build_folds,
    build_patient_split,
    draw_patients,
    expect_patients_apart,
    read_folds,
    split_digest,
    split_of_folds,
    write_folds,
)

COMMITTED = Path(__file__).parents[3] / "splits" / "cheng_t1c.json"


def test_folds_hold_whole_patients_and_each_stratum_evenly() -> None:
    cases = [*_patients("a", 20), *_patients("b", 11)]
    strata = {case.name: case.patient[0] for case in cases}
    folds = build_folds(cases, strata, 5, seed=1)
    owner = {case.name: case.patient for case in cases}
    patients = [{owner[name] for name in fold} for fold in folds]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 31
    for stratum, fewest, most in (("a", 4, 4), ("b", 2, 3)):
        counts = [sum(patient.startswith(stratum) for patient in fold) for fold in patients]
        assert fewest <= min(counts) <= max(counts) <= most
    assert build_folds(reversed(cases), strata, 5, seed=1) == folds
    assert build_folds(cases, strata, 5, seed=2) != folds


@pytest.mark.parametrize("count", [1, 4])
def test_a_number_of_folds_that_cannot_be_dealt_is_refused(count: int) -> None:
    cases = _patients("a", 3)
    with pytest.raises(RequestError, match="from 2 to 3 folds"):
        build_folds(cases, {case.name: "a" for case in cases}, count, seed=0)


def test_one_fold_is_kept_and_all_others_train() -> None:
    folds = (("a", "b"), ("c",), ("d",))
    assert split_of_folds(folds, 1) == Split(("a", "b", "d"), ("c",))
    with pytest.raises(RequestError, match="from 0 to 2, got 3"):
        split_of_folds(folds, 3)


def test_a_patient_is_never_on_both_sides() -> None:
    cases = [Case(f"{p}_{v}", p, Path(), Path()) for p in ("p1", "p2", "p3") for v in ("pre", "post")]
    split = build_patient_split(cases, ["p2"])
    assert split.validation == ("p2_pre", "p2_post")
    assert len(split.train) == 4


def test_folds_come_back_as_they_were_written(tmp_path: Path) -> None:
    folds = (("a", "b"), ("c",))
    write_folds(tmp_path / "split.json", folds, dataset="x", rule="by hand")
    assert read_folds(tmp_path / "split.json") == folds


def test_a_case_in_two_folds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"folds": [["a"], ["a"]]}))
    with pytest.raises(InputError, match="twice"):
        read_folds(tmp_path / "split.json")


def test_what_is_no_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(InputError, match="no split"):
        read_folds(tmp_path / "split.json")


def test_the_committed_folds_hold_each_slice_once() -> None:
    folds = read_folds(COMMITTED)
    assert (len(folds), sum(map(len, folds))) == (5, 2303)
    assert len(split_digest(COMMITTED)) == 64


def test_the_committed_folds_never_part_a_patient_and_hold_each_class_evenly(real_images: Path) -> None:
    with (real_images / "cheng_t1c" / "slices.csv").open(newline="", encoding="utf-8") as file:
        rows = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    groups = [
        {(rows[name]["patient_group"], rows[name]["label"]) for name in fold} for fold in read_folds(COMMITTED)
    ]
    patients = [{patient for patient, _ in fold} for fold in groups]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 177
    for label in ("glioma", "meningioma", "pituitary"):
        counts = [Counter(label for _, label in fold)[label] for fold in groups]
        assert max(counts) - min(counts) <= 2


def _patients(label: str, count: int, visits: int = 2) -> list[Case]:
    return [
        Case(f"{label}{n}_{visit}", f"{label}{n}", Path(f"{label}{n}_{visit}.png"), Path(), label)
        for n in range(count)
        for visit in range(visits)
    ]


def test_patients_are_drawn_from_each_class_alike_and_by_seed_alone() -> None:
    cases = [*_patients("a", 40), *_patients("b", 10)]
    drawn = draw_patients(cases, 0.2, seed=3)
    assert sum(name.startswith("a") for name in drawn) in (7, 8, 9)
    assert len(drawn) == 10
    assert draw_patients(reversed(cases), 0.2, seed=3) == drawn
    assert draw_patients(cases, 0.2, seed=4) != drawn


def test_a_drawn_split_has_every_visit_of_a_patient_on_one_side() -> None:
    cases = _patients("a", 9)
    split = build_patient_split(cases, draw_patients(cases, 0.3, seed=0))
    expect_patients_apart(split, {case.name: case for case in cases})
    assert (len(split.train), len(split.validation)) == (12, 6)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 1), (0.99, 2)])
def test_a_share_keeps_one_patient_and_leaves_one_to_train(share: float, count: int) -> None:
    assert len(draw_patients(_patients("a", 3), share, seed=0)) == count


@pytest.mark.parametrize(("share", "patients"), [(1.0, 3), (-0.1, 3), (0.2, 1)])
def test_a_share_that_cannot_be_drawn_is_refused(share: float, patients: int) -> None:
    with pytest.raises(RequestError, match="expected"):
        draw_patients(_patients("a", patients), share, seed=0)


def test_a_patient_in_two_parts_is_named_with_a_file_on_each_side() -> None:
    cases = {case.name: case for case in _patients("a", 2)}
    with pytest.raises(
        InputError, match=r"patient a1 is in two parts.*a1_0\.png in train, a1_1\.png in validation"
    ):
        expect_patients_apart(Split(("a0_0", "a0_1", "a1_0"), ("a1_1",)), cases)
