"""The model server of the local stack."""

from pathlib import Path

from deploy.local.model_server import SHIPPED, place_models_file, serving_command
from metseg_serving.__main__ import build_parser
from metseg_serving.settings import ServingSettings


def test_the_models_file_is_placed_once_and_what_a_promotion_made_of_it_stays(tmp_path: Path) -> None:
    placed = place_models_file(tmp_path / "models")
    assert placed.read_text() == (SHIPPED / "models.config").read_text()
    placed.write_text("changed")
    assert place_models_file(tmp_path / "models").read_text() == "changed"


def test_the_model_server_takes_its_command_line(tmp_path: Path) -> None:
    options = build_parser(ServingSettings()).parse_args(serving_command(tmp_path / "models.config")[3:])
    assert options.allow_version_labels_for_unavailable_models is True
    assert options.monitoring_config_file.is_file()
