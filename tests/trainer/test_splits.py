import json
from pathlib import Path

import pytest

from metseg.errors import InputError
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.splits import (
    Split,
    build_block_split,
    build_patient_split,
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
