"""Handing out artefacts."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_service import ApiService, problem

from metseg.schemas.job import Failure, JobResult, JobState

BIG = random.Random(1).randbytes(2_500_000)
ARTEFACTS = {"mask.nii.gz": BIG, "lesions.csv": b"label,voxels\r\n1,5\r\n", "empty.bin": b""}


@pytest.fixture
def job(api: ApiService, tmp_path: Path) -> str:
    job_id = api.submitted()
    api.succeed(job_id, ARTEFACTS, tmp_path)
    return f"/v1/jobs/{job_id}"


def test_a_result_lists_its_artefacts_with_size_digest_and_address(api: ApiService, job: str) -> None:
    result = api.http.get(f"{job}/result").json()
    listed = {one["name"]: (one["size_bytes"], one["sha256"], one["href"]) for one in result["artefacts"]}
    assert listed == {
        name: (len(data), hashlib.sha256(data).hexdigest(), f"{job}/result/{name}")
        for name, data in ARTEFACTS.items()
    }
    assert api.http.get(job).json()["links"]["result"] == f"{job}/result"


@pytest.mark.parametrize("name", ARTEFACTS)
def test_an_artefact_comes_whole_with_its_digest_as_etag(api: ApiService, job: str, name: str) -> None:
    answer = api.http.get(f"{job}/result/{name}")
    assert (answer.status_code, answer.content) == (200, ARTEFACTS[name])
    assert answer.headers["etag"] == f'"{hashlib.sha256(ARTEFACTS[name]).hexdigest()}"'
    assert answer.headers["content-length"] == str(len(ARTEFACTS[name]))
    short = job[-8:]
    assert answer.headers["content-disposition"] == f'attachment; filename="metseg-{short}-{name}"'
    head = api.http.head(f"{job}/result/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(ARTEFACTS[name]))


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1048570-1048590", 1048570, 1048591),
        ("bytes=2499990-", 2499990, 2500000),
        ("bytes=2499990-99999999", 2499990, 2500000),
        ("bytes=-10", 2499990, 2500000),
        ("bytes=-99999999", 0, 2500000),
    ],
)
def test_one_range_is_answered_with_that_part(api: ApiService, job: str, asked: str, begin: int, end: int) -> None:
    answer = api.http.get(f"{job}/result/mask.nii.gz", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, BIG[begin:end])
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(BIG)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b"])
def test_a_range_of_another_form_is_ignored(api: ApiService, job: str, asked: str) -> None:
    answer = api.http.get(f"{job}/result/mask.nii.gz", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, BIG)


@pytest.mark.parametrize("asked", ["bytes=2500000-", "bytes=-0", "bytes=999999999999-"])
def test_a_range_outside_is_refused_with_the_size(api: ApiService, job: str, asked: str) -> None:
    answer = api.http.get(f"{job}/result/mask.nii.gz", headers={"Range": asked})
    problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */2500000"


def test_a_range_counts_only_for_the_file_it_was_meant_for(api: ApiService, job: str) -> None:
    path = f"{job}/result/mask.nii.gz"
    tag = api.http.head(path).headers["etag"]
    resumed = api.http.get(path, headers={"Range": "bytes=10-19", "If-Range": tag})
    assert (resumed.status_code, resumed.content) == (206, BIG[10:20])
    assert api.http.get(path, headers={"Range": "bytes=10-19", "If-Range": '"other"'}).status_code == 200


def test_a_known_artefact_is_not_sent_again(api: ApiService, job: str) -> None:
    tag = api.http.head(f"{job}/result/lesions.csv").headers["etag"]
    answer = api.http.get(f"{job}/result/lesions.csv", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.txt", "lease.json", "%2e%2e%2fjob.json", "..%2f..%2fjob.json", "....//job.json", "a%00"]
)
def test_what_is_no_artefact_is_not_found(api: ApiService, job: str, name: str) -> None:
    answer = api.http.get(f"{api.url}{job}/result/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_before_success_there_is_no_result(api: ApiService) -> None:
    job_id = api.submitted()
    for tail in ("result", "result/mask.nii.gz"):
        answer = api.http.get(f"/v1/jobs/{job_id}/{tail}")
        assert problem(answer, 409, "job_state")["state"] == "queued"
        assert answer.headers["retry-after"]


def test_a_failed_job_tells_why_it_has_no_result(api: ApiService) -> None:
    job_id = api.submitted()
    final = JobResult(
        job_id=job_id,
        state=JobState.FAILED,
        finished_at=api.jobs.load(job_id).created_at,
        failure=Failure(code="input_damaged", message="the file breaks off"),
    )
    api.jobs.finish(final)
    said = problem(api.http.get(f"/v1/jobs/{job_id}/result"), 409, "job_state")
    failure = Failure(code="input_damaged", message="the file breaks off")
    assert said["error"] == failure.model_dump(mode="json")
    assert "the file breaks off" in str(said["detail"])


def test_an_artefact_that_got_lost_or_cut_is_an_error_and_no_file(api: ApiService, job: str) -> None:
    attempt = api.store / job.removeprefix("/v1/") / "attempts" / "1"
    (attempt / "lesions.csv").unlink()
    (attempt / "mask.nii.gz").write_bytes(BIG[:-1])
    problem(api.http.get(f"{job}/result/lesions.csv"), 500, "blob_not_found")
    answer = api.http.get(f"{job}/result/mask.nii.gz")
    problem(answer, 500, "store_failed")
    assert str(api.store) not in answer.text


def test_a_range_is_read_from_its_first_byte_on(
    own_api: ApiService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = own_api.submitted()
    own_api.succeed(job_id, ARTEFACTS, tmp_path)
    asked: list[tuple[int, int | None]] = []
    blobs = own_api.app.state.backends.blobs
    read = blobs.chunks

    def noted(key: str, *, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        asked.append((begin, end))
        return read(key, begin=begin, end=end)  # type: ignore[no-any-return]

    monkeypatch.setattr(blobs, "chunks", noted)
    headers = {"Range": "bytes=2499990-2499995"}
    answer = own_api.http.get(f"/v1/jobs/{job_id}/result/mask.nii.gz", headers=headers)
    assert answer.content == BIG[2499990:2499996]
    assert asked == [(2499990, 2499996)]
