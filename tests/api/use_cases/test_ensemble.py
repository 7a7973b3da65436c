"""The model that is all others together, through the API."""

import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards

from metseg.models.ensemble import ensemble_ref
from metseg.models.library import ModelLibrary
from metseg.schemas.job import DEFAULT_MODEL, ENSEMBLE
from metseg.serving.proto.serving_wire_pb2 import ModelServerConfig
from metseg_api.rollout.serving_config import Labels, entry_of, set_labels, write_config

OTHER, THIRD = "unet_plus_plus", "inception_v3_segmenter"


def listed(api: ApiService) -> dict:
    return {one["name"]: one for one in api.http.get("/v1/models").json()["items"]}


def members(model: dict) -> list[tuple[str, int]]:
    return [(one["name"], one["version"]) for one in model["members"]]


def test_a_job_keeps_what_each_member_had_when_it_was_accepted(
    own_api: ApiService, own_status_server: StatusServer
) -> None:
    own_status_server.versions[THIRD] = [1]
    answer = own_api.submit(model=ENSEMBLE)
    assert answer.status_code == 202, answer.text
    model = answer.json()["model"]
    assert members(model) == [(DEFAULT_MODEL, 2), (THIRD, 1), (OTHER, 1)]
    library = ModelLibrary(own_api.settings.models)
    assert [one["digest"] for one in model["members"]] == [
        library.card(name, version).digest for name, version in members(model)
    ]
    record = own_api.jobs.load(answer.json()["id"])
    assert record.model == ensemble_ref(record.model.members)
    assert record.compared_with is None
    entry = listed(own_api)[ENSEMBLE]
    assert members(entry) == members(model)
    assert [one["digest"] for one in entry["members"]] == [one["digest"] for one in model["members"]]
    assert (entry["served"], entry["state"], entry["default"]) == (True, "available", False)


def test_a_member_that_is_not_loaded_refuses_the_ensemble_and_nothing_else_and_the_log_names_it(
    own_api: ApiService, caplog: pytest.LogCaptureFixture
) -> None:
    problem(own_api.submit(model=ENSEMBLE), 503, "serving_unavailable")
    assert [one.__dict__["model"] for one in caplog.records if "member" in one.getMessage()] == [THIRD]
    entry = listed(own_api)[ENSEMBLE]
    assert (entry["served"], entry["state"], entry["stable"]) == (False, "not_loaded", None)
    assert own_api.submit().status_code == own_api.submit(model=OTHER).status_code == 202


def test_a_member_with_a_damaged_card_takes_the_ensemble_off_the_list(
    own_api: ApiService, own_status_server: StatusServer
) -> None:
    own_status_server.versions[THIRD] = [1]
    (own_api.settings.models / THIRD / "1" / "assets.extra" / "card.json").write_text("{")
    problem(own_api.submit(model=ENSEMBLE), 500, "card_invalid")
    assert set(listed(own_api)) == {DEFAULT_MODEL, OTHER}


def test_one_model_alone_is_no_ensemble(tmp_path, shared_redis, own_status_server: StatusServer) -> None:
    write_cards(tmp_path / "models", {DEFAULT_MODEL: [1]})
    settings = api_settings(tmp_path, redis_url=shared_redis.url, serving_at=own_status_server.target)
    with serving(settings) as api:
        problem(api.submit(model=ENSEMBLE), 422, "model_unknown")
        assert set(listed(api)) == {DEFAULT_MODEL}


def test_the_ensemble_takes_no_canary_and_the_canary_keeps_its_share(
    tmp_path, shared_redis, own_status_server: StatusServer
) -> None:
    write_cards(tmp_path / "models", {DEFAULT_MODEL: [1, 2], OTHER: [1]})
    config = ModelServerConfig()
    set_labels(entry_of(config, DEFAULT_MODEL), Labels(stable=1, canary=2), {1, 2})
    write_config(tmp_path / "models", config)
    at = {"redis_url": shared_redis.url, "serving_at": own_status_server.target}
    with serving(api_settings(tmp_path, **at, canary_share=1.0)) as api:
        assert members(api.submit(model=ENSEMBLE).json()["model"]) == [(DEFAULT_MODEL, 1), (OTHER, 1)]
        assert members(listed(api)[ENSEMBLE]) == [(DEFAULT_MODEL, 1), (OTHER, 1)]
        assert api.submit().json()["model"]["version"] == 2
