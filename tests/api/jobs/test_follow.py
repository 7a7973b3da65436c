"""Following a job: its states and places in the line, entity tags, and answers that wait for news."""

import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from api_service import ApiService, problem
from following import end, progress, soon, timed
from redis_fixture import RedisServer
from workplace import wait_for

from metseg.queue.rq_worker import make_worker
from metseg.queue.statistics import SERVING_AWAY_FIELD
from metseg.schemas.job import Failure, Priority, WaitsFor, new_job_id

LOST_IDS = [
    "x",
    "0",
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "019d0000-1111-4222-8333-444455556666",
    "019D0000-1111-7222-8333-444455556666",
    "019d0000-1111-7222-8333-444455556666%00",
    "019d0000-1111-7222-8333-444455556666%0a",
    "019d0000-1111-7222-8333-44445555666６",
    "*",
    "a" * 5000,
]


def test_a_job_goes_from_queued_over_running_to_its_end(api: ApiService) -> None:
    job_id = api.submitted()
    path = f"/v1/jobs/{job_id}"
    assert api.http.get(path).json()["state"] == "queued"
    api.jobs.claim(job_id, 1)
    running = api.http.get(path).json()
    assert (running["state"], running["attempt"], running["progress"]) == ("running", 1, None)
    api.dispatcher.write_progress(job_id, progress(0.5))
    running = api.http.get(path).json()
    assert running["progress"]["fraction"] == 0.5
    assert running["started_at"] is not None
    end(api, job_id)
    ended = api.http.get(path).json()
    assert ended["state"] == "failed"
    failure = Failure(code="input_damaged", message="The file breaks off.")
    assert ended["error"] == failure.model_dump(mode="json")
    assert ended["progress"] is None
    assert ended["finished_at"].endswith("Z")


def test_a_waiting_job_tells_its_place_in_the_line(api: ApiService) -> None:
    first, second = (f"/v1/jobs/{api.submitted()}" for _ in range(2))
    places = [api.http.get(path).json()["queue_position"] for path in (first, second)]
    assert places[1] == places[0] + 1 == api.dispatcher.queue_length()
    api.jobs.claim(first.removeprefix("/v1/jobs/"), 1)
    assert api.http.get(first).json()["queue_position"] is None


def test_jobs_say_that_they_wait_for_the_model_server_and_that_is_news(
    own_api: ApiService, shared_redis: RedisServer
) -> None:
    """One is queued, its only worker taking no job; the other is running, and its worker says so."""
    queued, running = (own_api.submitted() for _ in range(2))
    own_api.jobs.claim(running, 1)
    paths = [f"/v1/jobs/{job_id}" for job_id in (queued, running)]
    tags = [own_api.http.get(path).headers["ETag"] for path in paths]
    waiting = progress(0.5).model_copy(update={"waits_for": WaitsFor.MODEL_SERVER})
    own_api.dispatcher.write_progress(running, waiting)
    worker = make_worker(shared_redis.url, lambda *_: None)
    worker.register_birth()
    worker.connection.hset(worker.key, SERVING_AWAY_FIELD, "1")
    wait_for(lambda: own_api.http.get(paths[0]).json()["waits_for"] == "model_server")
    answers = [own_api.http.get(path) for path in paths]
    assert [(one.json()["state"], one.json()["waits_for"]) for one in answers] == [
        ("queued", "model_server"),
        ("running", "model_server"),
    ]
    assert all(one.headers["ETag"] != tag for one, tag in zip(answers, tags, strict=True))
    own_api.dispatcher.write_progress(running, progress(0.6))
    assert own_api.http.get(paths[1]).json()["waits_for"] is None
    worker.register_death()
    worker.connection.delete(worker.key)


def test_urgent_jobs_stand_before_routine_ones_in_their_own_order(api: ApiService) -> None:
    routine = api.submitted()
    urgent = [api.submit(priority="urgent").json()["id"] for _ in range(2)]
    places = [api.http.get(f"/v1/jobs/{one}").json()["queue_position"] for one in (*urgent, routine)]
    assert places[1] == places[0] + 1
    assert places[2] > places[1]
    assert api.jobs.load(urgent[0]).request.priority is Priority.URGENT
    for job_id in urgent:
        api.http.post(f"/v1/jobs/{job_id}/cancel")


def test_a_running_job_guesses_its_end_and_the_guess_alone_is_no_news(api: ApiService) -> None:
    job_id = api.submitted()
    assert api.http.get(f"/v1/jobs/{job_id}").json()["seconds_left"] is None  # nothing has run yet
    api.jobs.claim(job_id, 1)
    now = datetime.now(UTC)
    beat = progress(0.25).model_copy(update={"started_at": now - timedelta(seconds=10), "updated_at": now})
    api.dispatcher.write_progress(job_id, beat)
    first = api.http.get(f"/v1/jobs/{job_id}")
    assert 0 < first.json()["seconds_left"] <= 30
    time.sleep(0.3)
    second = api.http.get(f"/v1/jobs/{job_id}")
    assert second.json()["seconds_left"] < first.json()["seconds_left"]
    assert second.headers["etag"] == first.headers["etag"]


def test_a_lost_attempt_leaves_the_job_running_and_its_progress_is_not_told(api: ApiService) -> None:
    job_id = api.submitted()
    api.jobs.claim(job_id, 1)
    api.dispatcher.write_progress(job_id, progress(0.9, attempt=1))
    api.jobs.claim(job_id, 2)
    job = api.http.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["attempt"], job["progress"]) == ("running", 2, None)


@pytest.mark.parametrize("job_id", LOST_IDS)
@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/result")]
)
def test_what_is_no_job_id_is_not_found(api: ApiService, job_id: str, method: str, tail: str) -> None:
    answer = api.http.request(method, f"{api.url}/v1/jobs/{job_id}{tail}")
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.stored() == []


def test_an_id_that_nobody_gave_is_not_found(api: ApiService) -> None:
    problem(api.http.get(f"/v1/jobs/{new_job_id()}"), 404, "job_not_found")


def test_a_known_etag_is_answered_with_304_until_something_changes(api: ApiService) -> None:
    path = f"/v1/jobs/{api.submitted()}"
    first = api.http.get(path)
    tag = first.headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = api.http.get(path, headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    api.jobs.claim(first.json()["id"], 1)
    changed = api.http.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_a_heartbeat_alone_does_not_change_the_etag(api: ApiService) -> None:
    job_id = api.submitted()
    api.jobs.claim(job_id, 1)
    beat = progress(0.5)
    tags = []
    for now in (beat, beat.model_copy(update={"updated_at": datetime.now(UTC)})):
        api.dispatcher.write_progress(job_id, now)
        tags.append(api.http.get(f"/v1/jobs/{job_id}").headers["etag"])
    assert tags[0] == tags[1]


def test_waiting_without_an_etag_ends_with_the_job(api: ApiService) -> None:
    job_id = api.submitted()
    api.jobs.claim(job_id, 1)
    with soon(lambda: end(api, job_id)):
        answer, took_s = timed(lambda: api.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"}))
    assert answer.json()["state"] == "failed"
    assert answer.headers["preference-applied"] == "wait=20"
    assert 0.5 < took_s < 3


def test_waiting_with_an_etag_ends_with_any_change(api: ApiService) -> None:
    job_id = api.submitted()
    tag = api.http.get(f"/v1/jobs/{job_id}").headers["etag"]
    headers = {"Prefer": "respond-async, wait=20", "If-None-Match": tag}
    with soon(lambda: api.jobs.claim(job_id, 1)):
        answer, took_s = timed(lambda: api.http.get(f"/v1/jobs/{job_id}", headers=headers))
    assert answer.json()["state"] == "running"
    assert 0.5 < took_s < 3


def test_waiting_in_vain_ends_in_time(api: ApiService) -> None:
    path = f"/v1/jobs/{api.submitted()}"
    answer, took_s = timed(lambda: api.http.get(path, headers={"Prefer": "wait=1"}))
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    headers = {"Prefer": "wait=1", "If-None-Match": answer.headers["etag"]}
    unchanged, again_s = timed(lambda: api.http.get(path, headers=headers))
    assert unchanged.status_code == 304
    assert 0.9 < took_s < 3
    assert 0.9 < again_s < 3


def test_a_wait_longer_than_a_minute_is_cut_and_said_so(api: ApiService) -> None:
    job_id = api.submitted()
    end(api, job_id)
    answer, took_s = timed(lambda: api.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=86400"}))
    assert answer.headers["preference-applied"] == "wait=60"
    assert took_s < 2


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=-1", "wait=abc", "respond-async", "", "wait=9999999"])
def test_a_preference_that_is_no_wait_is_ignored(api: ApiService, prefer: str) -> None:
    answer, took_s = timed(lambda: api.http.get(f"/v1/jobs/{api.submitted()}", headers={"Prefer": prefer}))
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers
    assert took_s < 2


def test_deleting_a_job_ends_the_waiting_for_it(api: ApiService) -> None:
    job_id = api.submitted()
    with soon(lambda: api.http.delete(f"/v1/jobs/{job_id}")):
        problem(api.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"}), 410, "job_gone")


def test_many_wait_at_once_and_others_are_served_meanwhile(api: ApiService) -> None:
    job_id = api.submitted()
    states: list[str] = []

    def wait() -> None:
        answer = httpx.get(f"{api.url}/v1/jobs/{job_id}", headers={"Prefer": "wait=20"}, timeout=30)
        states.append(answer.json()["state"])

    waiting = [threading.Thread(target=wait) for _ in range(50)]
    for thread in waiting:
        thread.start()
    time.sleep(1)
    _, took_s = timed(lambda: api.http.get("/healthz"))
    end(api, job_id)
    for thread in waiting:
        thread.join(timeout=20)
    assert states == ["failed"] * 50
    assert took_s < 5  # far from the 20 s that the others would wait
