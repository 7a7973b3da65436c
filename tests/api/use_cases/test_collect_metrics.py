"""`GET /metrics`: what an operator watches, and nothing of a sender."""

import re
import time
from pathlib import Path

from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from following import ended
from redis_fixture import RedisServer, free_port

from metseg.queue.redis import TOTALS_KEY, connect
from metseg.schemas.job import JobState
from metseg_api.auth.api_keys import KeyFile, Scope

CANARY = "MUSTERMANN_ERIKA"


def read(text: str) -> dict[str, float]:
    """Every sample by its name and labels; each line must be one of the format's."""
    samples = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([a-z_]+(?:\{.*\})?) (\d+(?:\.\d+)?(?:e[+-]?\d+)?)", line)
            assert match, line
            assert match[1] not in samples
            samples[match[1]] = float(match[2])
    return samples


def metrics(api: ApiService) -> dict[str, float]:
    answer = api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(answer.text)


def test_the_queue_is_told_by_lane_with_its_age(api: ApiService) -> None:
    before = metrics(api)
    api.submitted()
    urgent = api.submit(priority="urgent").json()["id"]
    after = metrics(api)
    for lane in ("urgent", "routine"):
        name = f'metseg_queue_depth{{lane="{lane}"}}'
        assert after[name] == before[name] + 1
        assert 0 <= after[f'metseg_queue_oldest_seconds{{lane="{lane}"}}'] < 3600
    assert after["metseg_workers_alive"] == 0
    assert after["metseg_store_free_bytes"] > 0
    assert after['metseg_up{part="queue"}'] == after['metseg_up{part="store"}'] == 1
    api.http.post(f"/v1/jobs/{urgent}/cancel")


def test_it_is_told_whether_anyone_looks_after_the_jobs(own_api: ApiService) -> None:
    deadline = time.monotonic() + 30
    while metrics(own_api)["metseg_reconciler_leads"] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ends_are_counted_by_state_and_code_and_stages_by_their_time(own_api: ApiService) -> None:
    connection = connect(own_api.settings.redis_url)
    connection.delete(TOTALS_KEY)
    connection.close()
    own_api.dispatcher.tell_end(ended(JobState.SUCCEEDED), {"read": 1.5, "predict": 4.0})
    own_api.dispatcher.tell_end(ended(JobState.FAILED, "input_damaged"), {"read": 0.5})
    own_api.http.post(f"/v1/jobs/{own_api.submitted()}/cancel")
    told = metrics(own_api)
    assert told['metseg_jobs_ended_total{code="",state="succeeded"}'] == 1
    assert told['metseg_jobs_ended_total{code="input_damaged",state="failed"}'] == 1
    assert told['metseg_jobs_ended_total{code="",state="cancelled"}'] == 1
    assert told['metseg_stage_seconds_sum{stage="read"}'] == 2.0
    assert told['metseg_stage_seconds_count{stage="read"}'] == 2
    assert told['metseg_stage_seconds_count{stage="predict"}'] == 1


def test_a_retry_is_counted_once_however_often_it_is_handed_over(own_api: ApiService) -> None:
    name, job_id = "metseg_job_retries_total", own_api.submitted()
    before = metrics(own_api)[name]
    for attempt in (1, 2, 2):
        own_api.dispatcher.enqueue(job_id, attempt, timeout_s=60)
    assert metrics(own_api)[name] == before + 1


def test_requests_are_counted_by_template_and_nothing_a_sender_chose_is_told(own_api: ApiService) -> None:
    own_api.http.get(f"/v1/jobs/{CANARY}")
    own_api.http.get(f"/{CANARY}")
    own_api.http.request(CANARY, own_api.url + "/healthz")
    own_api.http.post("/v1/jobs", files={"file": (CANARY, b"scan")}, headers={"Idempotency-Key": CANARY})
    answer = own_api.http.get("/metrics")
    assert CANARY not in answer.text
    told = read(answer.text)
    name = "metseg_http_requests_total"
    assert told[name + '{method="GET",route="/v1/jobs/{job_id}",status="404"}'] == 1
    assert told[name + '{method="GET",route="none",status="404"}'] == 1
    assert told[name + '{method="other",route="/healthz",status="405"}'] == 1


def test_while_redis_is_down_the_rest_is_told(tmp_path: Path, own_status_server: StatusServer) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with serving(api_settings(tmp_path, redis_url=nobody, serving_at=own_status_server.target)) as bare:
        told = metrics(bare)
        assert told['metseg_up{part="queue"}'] == 0
        assert told["metseg_store_free_bytes"] > 0
        assert not any(name.startswith("metseg_queue") for name in told)


def test_with_keys_only_an_administrator_reads_them(
    tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer
) -> None:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(tmp_path, redis_url=shared_redis.url, serving_at=own_status_server.target)
    KeyFile(settings.keys).create("first", [Scope.READ])
    with serving(settings) as api, api.as_owner("anna") as anna, api.as_owner("chief", Scope.ADMIN) as chief:
        problem(api.http.get("/metrics"), 401, "key_required")
        problem(anna.get("/metrics"), 403, "scope_missing")
        assert chief.get("/metrics").status_code == 200
