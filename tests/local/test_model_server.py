"""The model server of the local stack."""

from pathlib import Path

import pytest
from api_service import write_cards

from deploy.local.model_server import place_models_file, serving_command
from metseg_api.rollout.errors import RolloutError
from metseg_api.rollout.serving_config import Labels, entry_of, read_config, set_labels, write_config
from metseg_serving.__main__ import build_parser
from metseg_serving.config import read_models
from metseg_serving.settings import ServingSettings


def test_shipped_models_are_served_once_they_are_there_and_what_a_promotion_made_of_the_file_stays(
    tmp_path: Path,
) -> None:
    write_cards(tmp_path, {"attention_unet": [1]})
    placed = place_models_file(tmp_path)
    assert [source.name for source in read_models(placed, tmp_path)] == ["attention_unet"]
    config = read_config(tmp_path)
    set_labels(entry_of(config, "attention_unet"), Labels(stable=1), {1})
    write_config(tmp_path, config)
    write_cards(tmp_path, {"inception_v3_segmenter": [1], "unet_plus_plus": [1], "stranger": [1]})
    first, *others = read_models(place_models_file(tmp_path), tmp_path)
    assert (first.name, first.labels) == ("attention_unet", {"stable": 1})
    assert [source.name for source in others] == ["unet_plus_plus", "inception_v3_segmenter"]
    assert [source.policy.choose({1, 2, 3}) for source in others] == [{2, 3}, {2, 3}]
    before = placed.read_bytes()
    assert place_models_file(tmp_path).read_bytes() == before


def test_no_model_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="none is there"):
        place_models_file(tmp_path)
    assert not (tmp_path / "models.config").exists()


def test_the_model_server_takes_its_command_line(tmp_path: Path) -> None:
    options = build_parser(ServingSettings()).parse_args(serving_command(tmp_path / "models.config")[3:])
    assert options.allow_version_labels_for_unavailable_models is True
    assert options.monitoring_config_file.is_file()
