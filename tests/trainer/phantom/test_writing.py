"""Phantoms on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from metseg.imaging.limits import ReadLimits
from metseg.imaging.nifti import read_nifti
from metseg_trainer.phantom import make_phantom, write_samples, write_scans
from metseg_trainer.phantom.writing import scan_seed


def test_each_scan_has_an_image_a_mask_and_a_truth_and_the_notice_lies_beside(tmp_path: Path):
    seen: list[Path] = []
    paths = write_scans(tmp_path, count=2, seed=5, preset="small", on_scan=seen.append)
    assert [path.name for path in paths] == ["phantom_0001.nii.gz", "phantom_0002.nii.gz"]
    assert seen == paths
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [path.name for path in paths]
    assert sorted(path.name for path in (tmp_path / "truth").iterdir()) == [
        "phantom_0001.json",
        "phantom_0002.json",
    ]
    assert "Copyright (C) 1993-2004 Louis Collins" in (tmp_path / "NOTICE.txt").read_text()


def test_the_files_hold_the_phantom_that_their_truth_names(tmp_path: Path):
    (path,) = write_scans(tmp_path, count=1, seed=5, preset="small")
    truth = json.loads((tmp_path / "truth" / "phantom_0001.json").read_text())
    assert truth["seed"] == scan_seed(5, 1)
    phantom = make_phantom(truth["seed"], truth["preset"])
    image = read_nifti(path, ReadLimits())[0]
    mask = read_nifti(tmp_path / "masks" / path.name, ReadLimits())[0]
    assert np.array_equal(image.array, phantom.scan.array)
    assert np.array_equal(mask.array, phantom.labels.array)
    assert np.allclose(image.affine, phantom.scan.affine, atol=1e-4)
    assert len(truth["lesions"]) == len(phantom.truth)
    assert {"kind", "centre_ras_mm", "diameter_mm", "volume_mm3"} <= set(truth["lesions"][0])


@pytest.mark.slow
def test_two_workers_write_what_one_writes(tmp_path: Path):
    one = write_scans(tmp_path / "one", count=2, seed=8, preset="small")
    two = write_scans(tmp_path / "two", count=2, seed=8, preset="small", workers=2)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_sets_of_neighbouring_seeds_share_no_scan():
    drawn = [scan_seed(seed, number) for seed in range(1000, 1020) for number in range(1, 50)]
    assert len(set(drawn)) == len(drawn)


def test_an_unknown_preset_writes_nothing(tmp_path: Path):
    with pytest.raises(KeyError):
        write_scans(tmp_path / "set", count=1, seed=1, preset="no such preset")
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
def test_the_samples_in_the_repository_are_those_that_the_command_writes(tmp_path: Path):
    shipped = Path(__file__).parents[3] / "samples"
    written = write_samples(tmp_path)
    for path in written:
        assert (shipped / path.name).exists(), path.name
    ours = json.loads((tmp_path / "phantom_demo_truth.json").read_text())["lesions"]
    theirs = json.loads((shipped / "phantom_demo_truth.json").read_text())["lesions"]
    assert [lesion["kind"] for lesion in ours] == [lesion["kind"] for lesion in theirs]
    assert np.allclose([x["centre_ras_mm"] for x in ours], [x["centre_ras_mm"] for x in theirs], atol=0.01)
    assert (shipped / "phantom_demo.nii.gz").stat().st_size < 3 * 2**20
