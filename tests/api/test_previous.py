"""Earlier jobs are looked at before a job that names them is accepted; each refusal has its code and sentence."""

from pathlib import Path

import httpx
import pytest
from api_service import ApiService, problem
from following import end

VOLUME = {"lesions.nii.gz": b"labels"}
UNKNOWN = "019d0000-1111-7222-8333-444455556666"


@pytest.fixture
def earlier(api: ApiService, tmp_path: Path) -> str:
    job_id = api.submitted()
    api.succeed(job_id, VOLUME, tmp_path)
    return job_id


def test_earlier_jobs_are_kept_in_their_order_and_shown(api: ApiService, earlier: str, tmp_path: Path) -> None:
    second = api.submitted()
    api.succeed(second, VOLUME, tmp_path)
    answer = api.submit(previous=f"{second}, {earlier}")
    assert answer.status_code == 202, answer.text
    assert answer.json()["request"]["previous"] == [second, earlier]
    assert api.jobs.load(answer.json()["id"]).request.previous == (second, earlier)


def refused(api: ApiService, previous: str, code: str) -> str:
    """The sentence of a refusal that leaves nothing in the store."""
    before = api.stored()
    said = problem(api.submit(previous=previous), 422, code)
    assert api.stored() == before
    return str(said["detail"])


def test_what_never_was_or_has_no_form_of_an_id_is_refused(api: ApiService) -> None:
    assert "there is no job" in refused(api, UNKNOWN, "previous_unknown")
    refused(api, "yesterday", "request_invalid")
    refused(api, ",".join([UNKNOWN] * 6), "request_invalid")


def test_a_job_without_a_result_is_refused_with_its_state(api: ApiService) -> None:
    job_id = api.submitted()
    assert "has not ended" in refused(api, job_id, "previous_unfinished")
    end(api, job_id)
    assert "ended as failed" in refused(api, job_id, "previous_unfinished")


def test_a_job_that_was_deleted_is_refused_as_gone(api: ApiService, earlier: str) -> None:
    assert api.http.delete(f"/v1/jobs/{earlier}").status_code == 204
    assert "was deleted or has expired" in refused(api, earlier, "previous_gone")


def test_a_picture_is_refused_for_it_has_no_place_in_the_head(api: ApiService, tmp_path: Path) -> None:
    job_id = api.submitted()
    api.succeed(job_id, {"mask.png": b"a mask"}, tmp_path)
    assert "a single picture" in refused(api, job_id, "previous_not_volume")


def test_anothers_job_looks_like_none_whatever_became_of_it(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client, tmp_path: Path
) -> None:
    scan = {"file": ("x", b"scan bytes")}
    hers = anna.post("/v1/jobs", files=scan).json()["id"]
    said = []
    for step in ("queued", "succeeded", "deleted"):
        if step == "succeeded":
            locked.succeed(hers, VOLUME, tmp_path)
        if step == "deleted":
            anna.delete(f"/v1/jobs/{hers}")
        answer = bert.post("/v1/jobs", files=scan, data={"previous": hers})
        said.append(problem(answer, 422, "previous_unknown")["detail"])
    none = problem(bert.post("/v1/jobs", files=scan, data={"previous": UNKNOWN}), 422, "previous_unknown")[
        "detail"
    ]
    assert {str(one).replace(hers, UNKNOWN) for one in said} == {none}
