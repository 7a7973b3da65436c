"""Lists of jobs: pages, filters, and what is refused."""

import pytest
from api_service import ApiService, problem
from following import end


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
    monkeypatch.setattr("metseg_api.listing.MOST_LOOKS", 2)
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
