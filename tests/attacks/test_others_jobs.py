"""What one owner can learn of another's jobs by other ways than ids, which tests/api/auth/test_access.py takes."""

import httpx
import pytest
from api_service import ApiService, problem

SCAN = {"file": ("x", b"scan bytes")}


@pytest.fixture
def hers(anna: httpx.Client) -> str:
    """A job of Anna's."""
    job_id: str = anna.post("/v1/jobs", files=SCAN, headers={"Idempotency-Key": "one"}).json()["id"]
    return job_id


def test_a_cursor_of_anothers_job_leads_to_ones_own_jobs(bert: httpx.Client, hers: str) -> None:
    page = bert.get("/v1/jobs", params={"cursor": hers}).json()
    assert (page["items"], page["next_cursor"]) == ([], None)


def test_waiting_and_conditions_tell_nothing_of_anothers_job(
    anna: httpx.Client, bert: httpx.Client, hers: str
) -> None:
    tag = anna.get(f"/v1/jobs/{hers}").headers["etag"]
    for headers in ({"Prefer": "wait=5"}, {"If-None-Match": tag}, {"If-None-Match": "*"}):
        problem(bert.get(f"/v1/jobs/{hers}", headers=headers), 404, "job_not_found")
    events = bert.get(f"/v1/jobs/{hers}/events", headers={"Last-Event-ID": tag.strip('"')})
    problem(events, 404, "job_not_found")


def test_anothers_idempotency_key_opens_nothing(bert: httpx.Client, hers: str) -> None:
    answer = bert.post("/v1/jobs", files=SCAN, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 202
    assert answer.json()["id"] != hers
    assert "idempotency-replayed" not in answer.headers


def test_a_key_in_another_place_than_its_header_opens_nothing(
    locked: ApiService, anna: httpx.Client, hers: str
) -> None:
    key = anna.headers["authorization"].removeprefix("Bearer ")
    for asked in (
        {"params": {"access_token": key}},
        {"params": {"key": key}},
        {"cookies": {"Authorization": key}},
    ):
        answer = httpx.get(f"{locked.url}/v1/jobs/{hers}", **asked)
        problem(answer, 401, "key_required")
        assert key not in answer.text


def test_figures_of_everyones_jobs_are_for_administrators(anna: httpx.Client) -> None:
    problem(anna.get("/metrics"), 403, "scope_missing")


def test_a_deleted_job_of_another_is_none(anna: httpx.Client, bert: httpx.Client, hers: str) -> None:
    assert anna.delete(f"/v1/jobs/{hers}").status_code == 204
    for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/result")):
        problem(bert.request(method, f"/v1/jobs/{hers}{tail}"), 404, "job_not_found")
