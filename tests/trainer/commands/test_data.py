"""`metseg-train data` and `metseg-train sheet`, as a user calls them."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from metseg.imaging.picture import write_picture
from metseg_trainer.cli import main


def test_data_lists_a_folder_checks_it_and_writes_its_manifest(
    write_cases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_cases(tmp_path / "own")
    arguments = ["data", "--cases", str(folder), "--cache", str(tmp_path / "cache")]
    assert main([*arguments, "--manifest", str(tmp_path / "m.json"), "--validation-share", "0.25"]) == 0
    told = capsys.readouterr().out
    assert "own images and masks (layout folder): not stated" in told
    assert "case_00" not in told
    assert "masks hold the values 0, 255" in told
    assert re.search(r"^diameter +1[23]\.\d \(1[23]\.\d to 1[23]\.\d\) px$", told, re.MULTILINE)
    assert re.search(r"^enhancing lesions +100 % of 4$", told, re.MULTILINE)
    assert "4 cases: train 3 cases of 3 patients, validation 1 cases of 1 patients" in told
    assert "name it by --disease" in told
    manifest = json.loads((tmp_path / "m.json").read_text())
    assert f"Manifest digest {manifest['sha256']}" in told


def test_data_lists_each_case_only_when_asked(
    write_cases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_cases(tmp_path / "own")
    assert main(["data", "--cases", str(folder), "--cache", str(tmp_path / "cache"), "--list"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("case_")]
    assert len(listed) == 4
    assert all("64×64×1  values 0, 255  1 lesions" in line for line in listed)


def test_data_stops_with_a_sentence_that_names_the_file(
    write_cases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_cases(tmp_path / "own")
    write_picture(
        folder / "masks" / "case_01.png", np.full((64, 64), 7, np.uint8) * np.eye(64, dtype=np.uint8) + 3
    )
    assert main(["data", "--cases", str(folder), "--cache", str(tmp_path / "cache")]) == 2
    assert "case_01.png: expected the values 0 background and one other" in capsys.readouterr().err


def test_data_takes_a_committed_split(write_cases, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_cases(tmp_path / "own")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"folds": [["case_00", "case_01"], ["case_03"]]}))
    arguments = ["data", "--cases", str(folder), "--split", str(split), "--fold", "1"]
    assert main([*arguments, "--cache", str(tmp_path / "cache")]) == 0
    assert "validation 1 cases of 1 patients, 1 unused" in capsys.readouterr().out


def test_a_sheet_shows_each_slice_unchanged_first_with_its_mask_outlined(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "own")
    arguments = ["sheet", "--cases", str(folder), "--out", str(tmp_path / "sheet.png"), "--rows", "2"]
    assert main([*arguments, "--columns", "3", "--cache", str(tmp_path / "cache"), "--gain", "0.5"]) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * (2 * 224 + 4), 3 * (2 * 192 + 4), 3)
    amber = (sheet[:, :, ::-1] == (255, 176, 0)).all(axis=2)
    assert all(amber[:452, start : start + 388].any() for start in (0, 388, 776))


def test_a_sheet_of_implants_shows_another_sample_in_each_picture(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "own")
    arguments = ["sheet", "--cases", str(folder), "--out", str(tmp_path / "sheet.png"), "--rows", "2"]
    arguments += ["--columns", "3", "--implants", "--strip", "0.5", "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * (2 * 224 + 4), 3 * (2 * 192 + 4), 3)


@pytest.mark.parametrize("wrong", [["--rows", "0"], ["--clahe", "0.5"], ["--strip", "2"]])
def test_a_sheet_refuses_numbers_out_of_range(
    write_cases, tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_cases(tmp_path / "own", count=1)
    assert main(["sheet", "--cases", str(folder), "--out", str(tmp_path / "sheet.png"), *wrong]) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()
