"""`Idempotency-Key`: a sender that repeats itself gets one job."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from redis_fixture import RedisServer

from metseg.schemas.job import JobRecord, new_job_id

KEY = "MUSTERMANN-2026-11-23"


def test_a_repetition_is_answered_with_the_job_as_it_stands(api: ApiService) -> None:
    first = api.submit(key=KEY, threshold="0.5")
    assert "idempotency-replayed" not in first.headers
    job_id = first.json()["id"]
    api.jobs.claim(job_id, 1)
    again = api.submit(key=KEY, threshold="0.50")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.headers["location"] == f"/v1/jobs/{job_id}"
    assert (again.json()["id"], again.json()["state"]) == (job_id, "running")
    assert api.jobs.ids() == [job_id]
    assert len(list(api.store.glob("jobs/*"))) == 1  # of the second upload nothing stayed


def test_without_a_key_every_upload_is_a_job(api: ApiService) -> None:
    assert len({api.submitted() for _ in range(2)}) == 2


def test_another_file_or_field_under_the_same_key_is_refused(api: ApiService) -> None:
    job_id = api.submit(b"scan", key=KEY).json()["id"]
    problem(api.submit(b"other", key=KEY), 422, "idempotency_key_reused")
    problem(api.submit(b"scan", key=KEY, threshold="0.4"), 422, "idempotency_key_reused")
    problem(api.submit(b"scan", key=KEY, model="unet_plus_plus"), 422, "idempotency_key_reused")
    assert [path.name for path in api.store.glob("jobs/*")] == [job_id]


def test_the_key_itself_is_kept_nowhere(api: ApiService) -> None:
    answer = api.submit(key=KEY)
    refused = api.submit(b"other", key=KEY)
    assert KEY not in answer.text + str(answer.headers) + refused.text
    assert not any(KEY in path for path in api.stored())
    assert not any(KEY.encode() in path.read_bytes() for path in api.store.rglob("*") if path.is_file())


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb"])
def test_what_is_no_key_is_refused(api: ApiService, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = api.http.post("/v1/jobs", files={"file": ("x", b"scan")}, headers=headers)  # type: ignore[arg-type]
    problem(answer, 422, "request_invalid")
    assert api.stored() == []


def test_a_refused_upload_frees_its_key(api: ApiService) -> None:
    problem(api.submit(b"", key=KEY), 422, "input_empty")
    problem(api.submit(b"scan", key=KEY, threshold="7"), 422, "request_invalid")
    assert api.submit(b"another scan", key=KEY).status_code == 202


def test_deleting_the_job_frees_its_key_and_leaves_nothing_of_it(api: ApiService) -> None:
    job_id = api.submit(key=KEY).json()["id"]
    assert api.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert list(api.store.glob("keys/*")) == []
    again = api.submit(b"another scan", key=KEY)
    assert again.status_code == 202
    assert again.json()["id"] != job_id


def test_a_second_upload_while_the_first_is_on_its_way_is_told_to_wait(api: ApiService) -> None:
    go_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nscan'
        go_on.wait(20)
        yield b" bytes\r\n--b--\r\n"

    with ThreadPoolExecutor(1) as pool:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Idempotency-Key": KEY}
        first = pool.submit(httpx.post, f"{api.url}/v1/jobs", content=slowly(), headers=headers, timeout=30)
        until = time.monotonic() + 20
        while not any(".part" in path for path in api.stored()):
            assert time.monotonic() < until
            time.sleep(0.02)
        answer = api.submit(key=KEY)
        go_on.set()
        problem(answer, 409, "idempotency_key_in_flight")
        assert int(answer.headers["retry-after"]) >= 1
        assert first.result().status_code == 202
    assert api.submit(key=KEY).json()["id"] == first.result().json()["id"]


def test_twenty_at_the_same_moment_make_one_job(api: ApiService) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.submit(key=KEY), range(20)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert len(api.jobs.ids()) == 1


def test_a_wiped_redis_forgets_no_key(
    tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer
) -> None:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(tmp_path, redis_url=redis_server.url, serving_at=own_status_server.target)
    with serving(settings) as api:
        job_id = api.submit(key=KEY).json()["id"]
        redis_server.stop()
        redis_server.start()  # it keeps nothing on disk
        again = api.submit(key=KEY)
        assert (again.json()["id"], again.headers["idempotency-replayed"]) == (job_id, "true")
        problem(api.submit(b"other", key=KEY), 422, "idempotency_key_reused")


def test_a_key_whose_job_is_just_being_accepted_is_in_flight_and_free_once_that_is_swept(api: ApiService) -> None:
    half = new_job_id()
    accepted = api.jobs.load(api.submit(key=KEY).json()["id"])
    api.jobs.erase(accepted.id)
    assert accepted.key_sha256 is not None
    api.jobs.blobs.put(api.jobs.input_key(half), b"scan bytes")
    assert api.jobs.bind_key(accepted.key_sha256, half) == half
    problem(api.submit(key=KEY), 409, "idempotency_key_in_flight")
    api.jobs.discard(half)
    again = api.submit(key=KEY)
    assert again.status_code == 202
    assert JobRecord.model_validate(api.jobs.load(again.json()["id"])).key_sha256 == accepted.key_sha256
