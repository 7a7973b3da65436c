"""Lists of jobs: pages, filters, and what is refused."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_fixtures import serving_with_keys
from api_service import ApiService, StatusServer, problem
from following import end
from redis_fixture import RedisServer

from metseg.queue.owner_index import COMPLETE_KEY, OWNED_KEY
from metseg.queue.redis import SCANNED_KEY, connect
from metseg.storage.local import LocalStore

SCAN = {"file": ("x", b"scan bytes")}


def test_pages_hold_every_job_once_newest_first(api: ApiService) -> None:
    ids = [api.submitted() for _ in range(5)]
    seen: list[str] = []
    path = "/v1/jobs?limit=2"
    sizes = []
    while path:
        page = api.http.get(path).json()
        sizes.append(len(page["items"]))
        seen += [job["id"] for job in page["items"]]
        path = page["links"].get("next", "")
        assert (page["next_cursor"] is None) == (not path)
    assert seen == sorted(ids, reverse=True)
    assert sizes == [2, 2, 1]


def test_a_list_holds_only_the_states_asked_for_and_its_links_keep_them(api: ApiService) -> None:
    ids = [api.submitted() for _ in range(5)]
    for job_id in ids[::2]:
        end(api, job_id)
    seen, path = [], "/v1/jobs?limit=2&state=failed&state=cancelled"
    while path:
        page = api.http.get(path).json()
        seen += [job["id"] for job in page["items"]]
        path = page["links"].get("next", "")
    assert seen == sorted(ids[::2], reverse=True)
    assert len(api.http.get("/v1/jobs?state=queued").json()["items"]) == 2
    assert api.http.get("/v1/jobs?state=running").json()["items"] == []


def test_a_page_is_cut_short_where_little_is_found_and_the_next_one_goes_on(
    api: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg_api.use_cases.list_jobs.MOST_LOOKS", 2)
    ids = [api.submitted() for _ in range(5)]
    end(api, ids[0])
    path, pages = "/v1/jobs?state=failed", []
    while path:
        page = api.http.get(path).json()
        pages.append([job["id"] for job in page["items"]])
        path = page["links"].get("next", "")
    assert pages == [[], [], [ids[0]]]


@pytest.mark.parametrize(
    "query", ["state=x", "limit=0", "limit=201", "limit=x", "cursor=../..", "cursor=" + "a" * 100]
)
def test_a_wrong_page_is_refused(api: ApiService, query: str) -> None:
    problem(api.http.get(f"/v1/jobs?{query}"), 422, "request_invalid")


def test_a_refused_parameter_is_named_and_its_value_not_repeated(api: ApiService) -> None:
    answer = api.http.get("/v1/jobs?limit=MUSTERMANN")
    [refused] = problem(answer, 422, "request_invalid")["errors"]  # type: ignore[misc]
    assert refused["field"] == "query.limit"
    assert "MUSTERMANN" not in answer.text


@pytest.fixture
def locked(tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    """An API that wants a key, with a Redis of its own: the lists of others' stores would be mixed up."""
    with serving_with_keys(tmp_path, redis_server, own_status_server) as running:
        yield running


def _wait_for_lists(api: ApiService) -> None:
    until = time.monotonic() + 60
    while not api.app.state.backends.holders.lists.are_complete():
        assert time.monotonic() < until, "the jobs are not listed"
        time.sleep(0.05)


def test_a_list_of_an_owner_without_jobs_looks_at_no_job_of_others(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [anna.post("/v1/jobs", files=SCAN).json()["id"] for _ in range(3)]
    _wait_for_lists(locked)
    looks: list[str] = []
    names = LocalStore.names
    monkeypatch.setattr(LocalStore, "names", lambda self, prefix: looks.append(prefix) or names(self, prefix))
    page = bert.get("/v1/jobs").json()
    assert page["items"] == []
    assert [one for one in looks if one == "jobs" or any(job_id in one for job_id in ids)] == []
    assert [job["id"] for job in anna.get("/v1/jobs").json()["items"]] == ids[::-1]


@pytest.mark.parametrize("lost", ["the list", "all of Redis"])
def test_jobs_that_no_list_knows_are_found_in_the_store_and_listed(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client, lost: str
) -> None:
    ids = [anna.post("/v1/jobs", files=SCAN).json()["id"] for _ in range(3)]
    other = bert.post("/v1/jobs", files=SCAN).json()["id"]
    _wait_for_lists(locked)
    with connect(locked.settings.redis_url) as redis:
        if lost == "the list":  # as in a store, and a Redis, of the version before
            redis.delete(OWNED_KEY.format("anna"), OWNED_KEY.format("bert"), COMPLETE_KEY, SCANNED_KEY)
        else:
            redis.flushall()
        assert [job["id"] for job in anna.get("/v1/jobs?limit=2").json()["items"]] == ids[:0:-1]
        _wait_for_lists(locked)
        assert redis.zcard(OWNED_KEY.format("anna")) == 3
    assert [job["id"] for job in anna.get("/v1/jobs").json()["items"]] == ids[::-1]
    assert [job["id"] for job in bert.get("/v1/jobs").json()["items"]] == [other]


def test_a_deleted_job_leaves_the_list_and_a_strangers_on_it_stays_hidden(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client
) -> None:
    ids = [anna.post("/v1/jobs", files=SCAN).json()["id"] for _ in range(3)]
    strange = bert.post("/v1/jobs", files=SCAN).json()["id"]
    _wait_for_lists(locked)
    lists = locked.app.state.backends.holders.lists
    lists.add("anna", strange)
    anna.delete(f"/v1/jobs/{ids[1]}")
    assert [job["id"] for job in anna.get("/v1/jobs").json()["items"]] == [ids[2], ids[0]]
    assert lists.page("anna", before=None, limit=9) == [strange, ids[2], ids[0]]
