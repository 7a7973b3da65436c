import json
from pathlib import Path

import pytest

from metseg.errors import InputError, RequestError
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.splits import (
    Split,
    build_block_split,
    build_patient_split,
    draw_patients,
    expect_patients_apart,
    read_split,
    split_digest,
    write_split,
)

COMMITTED = Path(__file__).parents[2] / "splits" / "cheng.json"


def _cases(label: str, first: int, count: int) -> list[Case]:
    names = [f"c_{number:04d}" for number in range(first, first + count)]
    return [Case(name, name, Path(name), Path(name), label) for name in names]


def test_each_class_gives_its_last_block_with_a_gap_before_it() -> None:
    split = build_block_split([*_cases("a", 0, 100), *_cases("b", 500, 40)])
    assert split.validation == tuple(f"c_{n:04d}" for n in [*range(85, 100), *range(534, 540)])
    assert split.dropped == tuple(f"c_{n:04d}" for n in [*range(75, 85), *range(524, 534)])
    assert len(split.train) == 75 + 24


def test_a_patient_is_never_on_both_sides() -> None:
    cases = [Case(f"{p}_{v}", p, Path(), Path()) for p in ("p1", "p2", "p3") for v in ("pre", "post")]
    split = build_patient_split(cases, ["p2"])
    assert split.validation == ("p2_pre", "p2_post")
    assert len(split.train) == 4


def test_a_split_comes_back_as_it_was_written(tmp_path: Path) -> None:
    split = Split(("a", "b"), ("c",), ("d",))
    write_split(tmp_path / "split.json", split, dataset="x")
    assert read_split(tmp_path / "split.json") == split


def test_a_case_on_both_sides_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a"], "validation": ["a"]}))
    with pytest.raises(InputError, match="twice"):
        read_split(tmp_path / "split.json")


def test_what_is_no_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(InputError, match="no split"):
        read_split(tmp_path / "split.json")


def test_the_committed_split_holds_each_slice_once() -> None:
    split = read_split(COMMITTED)
    assert (len(split.train), len(split.validation), len(split.dropped)) == (410, 78, 30)
    assert len(split_digest(COMMITTED)) == 64


def test_the_committed_split_follows_its_rule(real_images: Path) -> None:
    cases = find_cases(real_images / "cheng_t1c_axial")
    assert read_split(COMMITTED) == build_block_split(cases)


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
