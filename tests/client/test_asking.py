"""Questions about models and jobs."""

from collections.abc import Callable

import httpx
import pytest
from fake_api import FakeApi
from phantoms import card

from metseg.schemas.job import Failure, JobState, new_job_id
from metseg_client import ApiError, ClientError, MetsegClient


def test_models_come_with_their_cards(client: MetsegClient) -> None:
    (model,) = client.models()
    assert model.card == card()
    assert model.served
    assert model.default


def test_a_job_is_read_although_a_newer_api_says_more(api: FakeApi) -> None:
    job = api.jobs[api.add_job()].view()
    newer = job.model_dump_json().replace('"links":', '"priority":3,"links":').encode()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=newer))
    with MetsegClient("http://api", transport=transport) as client:
        assert client.job(job.id) == job


def test_jobs_come_newest_first_in_pages(api: FakeApi, client: MetsegClient) -> None:
    older, newer = api.add_job(), api.add_job()
    page = client.jobs(limit=10)
    assert [job.id for job in page.items] == sorted([older, newer], reverse=True)
    assert page.next_cursor is None


def test_a_failed_job_is_an_answer_and_no_error(api: FakeApi, client: MetsegClient) -> None:
    failure = Failure(code="input_damaged", message="the file breaks off")
    assert client.wait(api.add_job(failure=failure)).error == failure


def test_a_cancelled_job_says_so(api: FakeApi, client: MetsegClient) -> None:
    assert client.cancel(api.add_job(run_s=60)).state is JobState.CANCELLED


def test_a_deleted_job_is_gone(api: FakeApi, client: MetsegClient) -> None:
    job_id = api.add_job()
    client.delete(job_id)
    with pytest.raises(ApiError) as caught:
        client.job(job_id)
    assert (caught.value.code, caught.value.status) == ("job_gone", 410)


def test_an_id_cannot_lead_to_another_path() -> None:
    asked: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404)

    with (
        MetsegClient("http://api", transport=httpx.MockTransport(handle)) as client,
        pytest.raises(ApiError),
    ):
        client.job("../models?x=1")
    assert asked == [b"/v1/jobs/..%2Fmodels%3Fx%3D1"]


def test_an_api_that_is_not_ready_is_an_answer(api: FakeApi, client: MetsegClient) -> None:
    assert client.ready()
    api.down = True
    assert not client.ready()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.job(new_job_id()),
        lambda client: client.cancel(new_job_id()),
        lambda client: client.delete(new_job_id()),
        lambda client: client.result(new_job_id()),
        lambda client: client.report(new_job_id()),
        lambda client: client.fetch(new_job_id(), "mask.nii.gz"),
    ],
)
def test_every_call_on_an_unknown_job_says_so(
    client: MetsegClient, call: Callable[[MetsegClient], object]
) -> None:
    with pytest.raises(ClientError) as caught:
        call(client)
    assert caught.value.code == "job_not_found"
