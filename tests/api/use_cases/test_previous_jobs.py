"""Earlier jobs are looked at before a job that names them is accepted; each refusal has its code and sentence."""

from pathlib import Path

import httpx
import pytest
from api_service import ApiService, problem
from following import end

from metseg_api.uploads import multipart

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


Parts = list[tuple[str, tuple[str | None, bytes]]]

NOW: Parts = [("file", ("x", b"now"))]
EARLIER: Parts = [("previous_file", ("x", b"slice 1" * 300_000)), ("previous_file", ("x", b"slice 2"))]


def field(name: str, value: str) -> Parts:
    return [(name, (None, value.encode()))]


def send(api: ApiService, parts: Parts, key: str = "") -> httpx.Response:
    return api.http.post("/v1/jobs", files=parts, headers={"Idempotency-Key": key} if key else {})


@pytest.mark.parametrize("parts", [NOW + EARLIER, EARLIER + NOW, EARLIER[:1] + NOW + EARLIER[1:]])
def test_an_earlier_scan_is_stored_apart_from_the_scan_in_the_order_of_its_files(
    api: ApiService, parts: Parts
) -> None:
    answer = send(api, parts + field("previous_series_uid", "1.2.840.1"))
    assert answer.status_code == 202, answer.text
    record = api.jobs.load(answer.json()["id"])
    assert [api.jobs.blobs.get(one.key) for one in record.inputs] == [b"now"]
    assert [api.jobs.blobs.get(one.key) for one in record.previous_inputs] == [one[1][1] for one in EARLIER]
    sizes = [len(one[1][1]) for one in EARLIER]
    assert [one.size_bytes for one in record.previous_inputs] == sizes
    assert record.request.previous_series_uid == "1.2.840.1"


def test_an_earlier_scan_is_erased_with_its_job(api: ApiService) -> None:
    job_id = send(api, NOW + EARLIER).json()["id"]
    assert f"jobs/{job_id}/previous/1" in api.stored()
    assert api.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert [path for path in api.stored() if path.startswith("jobs/")] == [
        f"jobs/{job_id}",
        f"jobs/{job_id}/tombstone.json",
    ]


@pytest.mark.parametrize("is_file_first", [True, False])
def test_an_earlier_job_and_an_earlier_scan_together_are_refused(
    api: ApiService, earlier: str, is_file_first: bool
) -> None:
    before = api.stored()
    named = field("previous", earlier)
    parts = NOW + (EARLIER + named if is_file_first else named + EARLIER)
    said = problem(send(api, parts), 422, "request_invalid")
    assert (
        said["detail"] == "Name earlier jobs by previous or send an earlier scan as previous_file, but not both."
    )
    assert api.stored() == before
    assert send(api, NOW + EARLIER + field("previous", "")).status_code == 202


def test_an_earlier_scan_alone_or_the_name_of_its_series_alone_is_refused(api: ApiService) -> None:
    problem(send(api, EARLIER), 422, "file_missing")
    said = problem(send(api, NOW + field("previous_series_uid", "1.2")), 422, "request_invalid")
    assert "needs a part named previous_file" in str(said["detail"])
    assert api.stored() == []


def test_both_scans_together_may_be_as_large_as_an_upload_may(api: ApiService) -> None:
    half: Parts = [("file", ("x", bytes(2_200_000)))]
    problem(send(api, half + [("previous_file", half[0][1])]), 413, "upload_too_large")
    assert api.stored() == []
    assert send(api, half + EARLIER[1:]).status_code == 202


def test_each_scan_may_have_as_many_files_as_one_may(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_FILES", 2)
    assert send(api, 2 * NOW + EARLIER).status_code == 202
    said = problem(send(api, NOW + 2 * EARLIER), 422, "request_invalid")
    assert "at most 2 files" in str(said["detail"])


def test_an_empty_earlier_scan_is_refused(api: ApiService) -> None:
    problem(send(api, NOW + [("previous_file", ("x", b""))]), 422, "input_empty")
    assert api.stored() == []


def test_the_same_scan_with_another_earlier_one_is_another_upload(api: ApiService) -> None:
    first = send(api, NOW + EARLIER, "visit").json()["id"]
    assert send(api, EARLIER + NOW, "visit").json()["id"] == first
    for parts in (NOW, NOW + EARLIER[:1], NOW + EARLIER[::-1]):
        problem(send(api, parts, "visit"), 422, "idempotency_key_reused")
