"""Manifests: what is in them, and what changes their digest."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from metseg.imaging.picture import write_picture
from metseg_trainer.evaluation.model_card import describe_training_data
from metseg_trainer.recipes.recipe import Recipe, Source
from metseg_trainer.training_data.manifest import build_manifest, manifest_digest
from metseg_trainer.training_data.sources import Paths


@pytest.fixture
def places(write_cases, tmp_path: Path) -> Paths:
    write_cases(tmp_path / "own")
    return Paths(tmp_path, tmp_path, tmp_path, tmp_path / "cache")


SOURCE = Source("own", "own", validation_patients=("case_03",), disease="meningioma")


def test_a_manifest_names_every_file_with_its_digest_and_part(places: Paths, tmp_path: Path) -> None:
    manifest = build_manifest(SOURCE, places)
    last = manifest.cases[-1]
    content = (tmp_path / "own" / "images" / "case_03.png").read_bytes()
    assert [case.part for case in manifest.cases] == ["train", "train", "train", "validation"]
    assert last.image.path == "images/case_03.png"
    assert (last.image.sha256, last.image.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (manifest.disease, manifest.layout, manifest.target) == ("meningioma", "folder", "lesion")
    manifest.write(tmp_path / "runs" / "manifest.json")
    written = json.loads((tmp_path / "runs" / "manifest.json").read_text())
    assert written["sha256"] == manifest.digest
    assert len(written["cases"]) == 4


def test_the_digest_is_the_same_wherever_the_files_lie(places: Paths, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "own", tmp_path / "elsewhere" / "own")
    elsewhere = Paths(tmp_path / "elsewhere", tmp_path, tmp_path, tmp_path / "cache")
    assert manifest_digest(SOURCE, places) == manifest_digest(SOURCE, elsewhere)


def test_the_digest_changes_with_a_pixel_of_a_mask_and_with_the_split(places: Paths, tmp_path: Path) -> None:
    before = manifest_digest(SOURCE, places)
    assert manifest_digest(Source("own", "own", validation_patients=("case_00",)), places) != before
    write_picture(tmp_path / "own" / "masks" / "case_01.png", np.eye(64, dtype=np.uint8))
    assert manifest_digest(SOURCE, places) != before


def test_the_card_says_disease_layout_target_and_manifest(tiny_recipe: tuple[Recipe, Paths]) -> None:
    recipe, places = tiny_recipe
    (data,) = describe_training_data(recipe, places)
    assert (data.disease, data.layout, data.target, data.cases) == ("not stated", "folder", "lesion", 3)
    assert data.manifest_sha256 == manifest_digest(recipe.sources[0], places)
