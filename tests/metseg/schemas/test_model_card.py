import json
from pathlib import Path

import pytest
from calibrated import fitted
from phantoms import card

from metseg.errors import CardError, SettingsError, UnknownModelError
from metseg.models.library import ModelLibrary
from metseg.schemas.model_card import CARD_PATH, Clahe, ModelCard
from metseg.settings import EnvSettings

SHIPPED = sorted((Path(__file__).parents[3] / "models" / "weights").glob("*.card.json"))


def exported(root, version=1, name="attention_unet"):
    path = root / name / str(version) / CARD_PATH
    path.parent.mkdir(parents=True)
    card(name=name, version=version).write(path)
    return path


def test_a_card_is_read_as_it_was_written(tmp_path):
    assert ModelCard.read(exported(tmp_path)) == card()


def test_the_digest_changes_with_what_decides_a_result_and_with_nothing_else():
    assert card().digest == card(intended_use="something else").digest
    assert card().digest != card(threshold=0.4).digest
    assert card().digest != card(weights_sha256="1" * 64).digest


def test_what_a_card_gained_later_leaves_the_digest_of_older_ones_alone():
    assert "clahe" not in str(card().model_dump(exclude_none=True))
    assert card().digest == "0b54801ea9958c6703c7ec4168e0343900851f7cbfb526ac27ca730a3980b424"
    equalised = card().preprocessing.model_copy(update={"clahe": Clahe()})
    assert card().digest != card(preprocessing=equalised).digest


def test_a_card_with_a_confidence_is_read_as_it_was_written_and_has_a_digest_of_its_own(tmp_path):
    known = card(confidence=[fitted()])
    known.write(tmp_path / "card.json")
    assert ModelCard.read(tmp_path / "card.json") == known
    assert known.digest != card().digest
    assert known.digest != card(confidence=[fitted(0.4)]).digest


def test_a_card_of_before_the_confidence_is_still_read(tmp_path):
    path = exported(tmp_path)
    content = json.loads(path.read_text())
    del content["confidence"]
    path.write_text(json.dumps(content))
    assert ModelCard.read(path) == card()


def test_a_confidence_that_falls_with_a_feature_cannot_be_made():
    falling = fitted().features[0].model_dump() | {"weight": -0.1}
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        card(confidence=[fitted().model_dump() | {"features": [falling]}])


def trained_on(*diseases):
    data = {"name": "x", "licence": "x", "attribution": "x", "cases": 1}
    return card(training_data=[data if disease is None else data | {"disease": disease} for disease in diseases])


@pytest.mark.parametrize(
    ("diseases", "notice"),
    [
        (["glioma"], "Trained on: glioma (not metastases)."),
        (["glioma, meningioma", "synthetic"], "Trained on: glioma, meningioma, synthetic (not metastases)."),
        (["metastasis", "synthetic"], "Trained on: metastasis, synthetic."),
        (["Brain metastases"], "Trained on: Brain metastases."),
        ([None], "Trained on: the disease is not stated."),
        ([], "Trained on: the disease is not stated."),
        (["glioma", None], "Trained on: glioma, not stated (metastases are not named)."),
    ],
)
def test_a_card_says_in_one_line_which_disease_the_model_knows(diseases, notice):
    assert trained_on(*diseases).disease_notice == notice
    assert trained_on(*diseases).knows_metastases == ("(" not in notice and "not stated" not in notice)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_cards_can_be_read(path):
    assert ModelCard.read(path).disease_notice.startswith("Trained on: ")


@pytest.mark.parametrize("change", [{"threshold": 1.5}, {"name": "../x"}, {"version": 0}, {"weights_sha256": "x"}])
def test_a_card_that_is_not_valid_cannot_be_made(change):
    with pytest.raises(ValueError, match="validation error"):
        card(**change)


def test_a_damaged_card_is_refused_with_the_place(tmp_path):
    path = exported(tmp_path)
    path.write_text(path.read_text().replace('"threshold": 0.5', '"threshold": "high"'))
    with pytest.raises(CardError, match="threshold"):
        ModelCard.read(path)


def test_the_newest_version_of_each_model_is_found(tmp_path):
    for version in (1, 2, 10):
        exported(tmp_path, version)
    (tmp_path / "attention_unet" / ".11-half-copied").mkdir()
    (tmp_path / "attention_unet" / "12").mkdir()
    (tmp_path / "weights").mkdir()
    library = ModelLibrary(tmp_path)
    assert library.names() == ["attention_unet"]
    assert library.versions("attention_unet") == [10, 2, 1]
    assert library.card("attention_unet").version == 10
    assert library.card("attention_unet", 2).version == 2


@pytest.mark.parametrize(("name", "version"), [("unet", None), ("../x", None), ("", None), ("attention_unet", 7)])
def test_an_unknown_model_is_said_so(tmp_path, name, version):
    exported(tmp_path)
    with pytest.raises(UnknownModelError, match="expected"):
        ModelLibrary(tmp_path).card(name, version)


def test_a_missing_folder_holds_no_models(tmp_path):
    assert ModelLibrary(tmp_path / "none").names() == []


class Settings(EnvSettings):
    store: str = "data"
    max_upload_bytes: int = 10


def test_settings_come_from_the_environment_and_are_checked():
    assert Settings.from_env({"METSEG_MAX_UPLOAD_BYTES": "7", "METSEG_STORE": "", "OTHER": "x"}) == Settings(
        max_upload_bytes=7
    )
    with pytest.raises(SettingsError, match=r"^METSEG_MAX_UPLOAD_BYTES: "):
        Settings.from_env({"METSEG_MAX_UPLOAD_BYTES": "many"})
