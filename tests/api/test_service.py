"""Health, models, and the shape of errors."""

import json
import logging
import sys
import time
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving
from redis_fixture import free_port

from deploy.local.release import read_version
from metseg.errors import SettingsError
from metseg.logs import JsonLines
from metseg.schemas.job import RESEARCH_USE_ONLY
from metseg_api.settings import ApiSettings

CANARY = "MUSTERMANN_ERIKA"


def test_the_service_is_ready_when_every_part_is(api: ApiService) -> None:
    answer = api.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert all(part == {"ready": True, "code": None} for part in answer.json()["parts"].values())
    assert set(answer.json()["parts"]) == {"queue", "store", "model", "loops"}
    assert api.stored() == []


def test_without_tf_serving_it_is_alive_and_not_ready_and_shows_the_cards(
    own_api: ApiService, own_status_server: StatusServer
) -> None:
    own_status_server.stop()
    assert own_api.http.get("/healthz").json() == {"status": "ok"}
    ready = own_api.http.get("/readyz")
    assert ready.status_code == 503
    assert int(ready.headers["retry-after"]) >= 1
    assert ready.json()["parts"]["model"] == {"ready": False, "code": "serving_unavailable"}
    assert ready.json()["parts"]["queue"]["ready"] is True
    models = own_api.http.get("/v1/models").json()
    assert models["serving_reachable"] is False
    assert {one["name"]: (one["served"], one["state"]) for one in models["items"]} == {
        "attention_unet": (False, "unknown"),
        "unet_plus_plus": (False, "unknown"),
        "inception_v3_segmenter": (False, "unknown"),
        "ensemble": (False, "unknown"),
    }


def test_without_redis_and_models_it_says_which_parts_are_missing(
    tmp_path: Path, own_status_server: StatusServer
) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with serving(api_settings(tmp_path, redis_url=nobody, serving_at=own_status_server.target)) as bare:
        parts = bare.http.get("/readyz").json()["parts"]
        assert {name: part["code"] for name, part in parts.items()} == {
            "queue": "queue_unavailable",
            "store": None,
            "model": "model_unknown",
            "loops": None,
        }


def test_the_models_are_told_with_card_and_state(api: ApiService) -> None:
    models = api.http.get("/v1/models").json()
    assert models["serving_reachable"] is True
    items = {one["name"]: one for one in models["items"]}
    default = items["attention_unet"]
    assert (default["default"], default["served"], default["state"]) == (True, True, "available")
    assert default["served_versions"] == [2, 1]
    assert default["card"]["version"] == 2
    assert items["inception_v3_segmenter"]["state"] == "not_loaded"


def test_a_damaged_card_hides_no_other_model(own_api: ApiService) -> None:
    card = own_api.settings.models / "unet_plus_plus" / "1" / "assets.extra" / "card.json"
    card.write_text("{")
    names = {one["name"] for one in own_api.http.get("/v1/models").json()["items"]}
    assert names == {"attention_unet", "inception_v3_segmenter"}


def test_the_version_names_packages_schemas_and_research_use(api: ApiService) -> None:
    told = api.http.get("/v1/version").json()
    assert {"metseg", "metseg-api", "fastapi"} <= set(told["packages"])
    described = api.http.get("/v1/openapi.json").json()["info"]["version"]
    assert {told["packages"]["metseg"], told["packages"]["metseg-api"], described} == {read_version()}
    assert told["schema_versions"] == {"job": 1, "final": 1, "card": 1, "report": 1}
    assert told["research_use"] == RESEARCH_USE_ONLY


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "route_not_found"),
        ("GET", "/v1/nothing", 404, "route_not_found"),
        ("GET", "/redoc", 404, "route_not_found"),
        ("GET", "/v1/jobs/", 404, "route_not_found"),
        ("GET", "//v1/jobs", 404, "route_not_found"),
        ("GET", "/v1/jobs/a/b/c/d/e", 404, "route_not_found"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("TRACE", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_told_as_a_problem(
    api: ApiService, method: str, path: str, status: int, code: str
) -> None:
    answer = api.http.request(method, api.url + path)
    problem(answer, status, code)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/jobs", "GET, POST"),
        ("/v1/jobs/x", "DELETE, GET"),
        ("/v1/jobs/x/cancel", "POST"),
        ("/v1/jobs/x/result/mask.png", "GET, HEAD"),
        ("/healthz", "GET"),
    ],
)
def test_a_refused_method_is_told_with_all_that_the_address_has(api: ApiService, path: str, methods: str) -> None:
    assert api.http.put(path).headers["allow"] == methods


def test_an_unforeseen_error_leaks_nothing(
    own_api: ApiService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> list[str]:
        raise RuntimeError(f"patient {CANARY}")

    monkeypatch.setattr(own_api.app.state.backends.models, "names", fail)
    caplog.set_level(logging.DEBUG)
    answer = own_api.http.get("/v1/models")
    problem(answer, 500, "internal_error")
    assert CANARY not in answer.text
    ours = [record for record in caplog.records if record.name.startswith(("metseg", "uvicorn"))]
    assert any("frames" in record.__dict__ for record in ours)
    assert not any(CANARY in JsonLines().format(record) + str(record.__dict__) for record in ours)


def test_an_error_within_a_download_cuts_it_and_is_not_told_as_success(
    own_api: ApiService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job_id = own_api.submitted()
    own_api.succeed(job_id, {"mask.nii.gz": bytes(3 << 20)}, tmp_path)
    blobs = own_api.app.state.backends.blobs
    whole = blobs.chunks

    def cut(key: str, **part: int) -> object:
        yield next(whole(key, **part))
        raise RuntimeError(CANARY)

    monkeypatch.setattr(blobs, "chunks", cut)
    with pytest.raises(Exception, match="peer closed|incomplete"):
        own_api.http.get(f"/v1/jobs/{job_id}/result/mask.nii.gz")


def test_logs_name_the_route_and_never_the_query(api: ApiService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    api.http.get(f"/v1/jobs?cursor={CANARY}")
    api.http.get(f"/v1/jobs/{CANARY}/result")
    api.http.get(f"/{CANARY}")
    until = time.monotonic() + 5
    while len(ours := [one for one in caplog.records if one.name == "metseg_api.middleware"]) < 3:
        assert time.monotonic() < until  # a line is written after its answer is sent
        time.sleep(0.01)
    lines = [json.loads(JsonLines().format(one)) for one in ours]
    assert [line["route"] for line in lines] == ["/v1/jobs", "/v1/jobs/{job_id}/result", None]
    assert [line["status"] for line in lines] == [422, 404, 404]
    assert not any(CANARY in json.dumps(line) for line in lines)


def test_a_formatted_exception_keeps_its_text_to_itself() -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "failed", None, sys.exc_info(), extra={"patient": CANARY}
        )
    line = JsonLines().format(record)
    assert CANARY not in line
    assert json.loads(line)["error"] == "ValueError"


def test_no_answer_allows_another_origin(api: ApiService) -> None:
    answer = api.http.get("/healthz", headers={"Origin": "http://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_addresses_follow_from_the_ports_unless_they_are_given() -> None:
    settings = ApiSettings.from_env({"METSEG_REDIS_PORT": "7001", "METSEG_SERVING_PORT": "7002"})
    assert (settings.redis_url, settings.serving) == ("redis://127.0.0.1:7001/0", "127.0.0.1:7002")
    assert (settings.host, settings.max_upload_bytes) == ("127.0.0.1", 1 << 30)
    given = ApiSettings.from_env({"METSEG_REDIS_URL": "redis://queue:1/2", "METSEG_REDIS_PORT": "7001"})
    assert given.redis_url == "redis://queue:1/2"


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="METSEG_API_PORT"):
        ApiSettings.from_env({"METSEG_API_PORT": "http"})
