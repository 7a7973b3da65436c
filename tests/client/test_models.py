"""`metseg models` and the real API."""

from pathlib import Path

import pytest
from api_service import StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer, redis_server

from metseg_client import MetsegClient
from metseg_client.__main__ import Exit, main

__all__ = ["redis_server"]  # a fixture

SERVED = {"attention_unet": [1], "unet_plus_plus": [1, 2]}


def test_models_are_listed_with_what_the_ensemble_is_the_mean_of(
    tmp_path: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    status_server = StatusServer(SERVED)
    write_cards(tmp_path / "models", SERVED)
    settings = api_settings(tmp_path, redis_url=redis_server.url, serving_at=status_server.target)
    with serving(settings) as api:
        assert main(["--api", api.url, "models"]) == Exit.DONE
        with MetsegClient(api.url) as client:
            *models, ensemble = client.models()
    status_server.stop()
    assert capsys.readouterr().out.splitlines() == [
        "attention_unet version 1: ready, default",
        "unet_plus_plus version 2: ready",
        "ensemble version 1: ready, mean of attention_unet 1, unet_plus_plus 2",
    ]
    assert [one.digest for one in ensemble.members] == [model.card.digest for model in models]
