"""Webhooks through the whole API: asked for, signed, repeated, and told of to their owner."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from openapi_document import own_document
from redis_fixture import RedisServer
from webhook_receiver import Receiver, wait_until

from metseg.schemas.job import Failure, Job, JobResult, JobState
from metseg.storage.open import open_blob_store
from metseg_api.__main__ import main
from metseg_api.webhooks import deliveries, delivery_loop
from metseg_api.webhooks.deliveries import Outcome
from metseg_api.webhooks.secrets import SecretBook

CANARY = "MUSTERMANN_ERIKA_19450203"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as running:
        yield running


@pytest.fixture(scope="module")
def hooked_api(tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer) -> Iterator[ApiService]:
    folder, status_server = tmp_path_factory.mktemp("hooked"), StatusServer({"attention_unet": [1]})
    write_cards(folder / "models", {"attention_unet": [1]})
    settings = api_settings(
        folder, redis_url=shared_redis.url, serving_at=status_server.target, webhook_hosts="localhost,127.0.0.1"
    )
    with pytest.MonkeyPatch.context() as hurry:
        hurry.setattr(delivery_loop, "LOOK_EVERY_S", 0.05)
        hurry.setattr(deliveries, "PAUSES", (timedelta(seconds=0.1),) * 3)
        with serving(settings) as running:
            yield running
    status_server.stop()


@pytest.fixture
def hooked(hooked_api: ApiService) -> Iterator[ApiService]:
    """An API that may send webhooks to this machine, after short pauses; it has no jobs and no secrets."""
    yield hooked_api
    for job_id in hooked_api.jobs.ids():
        hooked_api.http.delete(f"/v1/jobs/{job_id}")
    wait_until(lambda: hooked_api.jobs.blobs.names("webhooks/due") == [])
    hooked_api.jobs.blobs.delete("webhooks")


@pytest.fixture
def secret(hooked: ApiService) -> str:
    return SecretBook(hooked.jobs.blobs).rotate(None).shown


def submitted(api: ApiService, url: str) -> str:
    answer = api.http.post("/v1/jobs", files={"file": (f"{CANARY}.nii", b"scan")}, data={"webhook_url": url})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def end(
    api: ApiService, job_id: str, state: JobState = JobState.SUCCEEDED, failure: Failure | None = None
) -> None:
    assert api.jobs.finish(JobResult(job_id=job_id, state=state, finished_at=datetime.now(UTC), failure=failure))


def settled(api: ApiService, job_id: str) -> dict[str, object]:
    """The webhook, once nothing more is to come."""
    path = f"/v1/jobs/{job_id}/webhook"
    wait_until(lambda: api.http.get(path).json()["state"] != "pending")
    view: dict[str, object] = api.http.get(path).json()
    return view


def test_the_end_of_a_job_is_told_once_signed_and_without_a_word_of_the_scan(
    hooked: ApiService, receiver: Receiver, secret: str
) -> None:
    job_id = submitted(hooked, receiver.url)
    time.sleep(0.4)
    assert receiver.calls == [], "told before the end"
    assert hooked.http.get(f"/v1/jobs/{job_id}/webhook").json()["attempts"] == []
    end(hooked, job_id)
    [call] = receiver.wait_for(1)
    job = hooked.http.get(f"/v1/jobs/{job_id}").json()
    assert call.told == {
        "type": "job.succeeded",
        "timestamp": job["finished_at"],
        "data": {"job_id": job_id, "state": "succeeded", "code": None, "links": job["links"]},
    }
    assert call.headers["webhook-id"] == f"msg_{job_id}"
    assert abs(int(call.headers["webhook-timestamp"]) - time.time()) < 60
    assert call.headers["content-type"] == "application/json"
    assert call.signed_by(secret)
    assert not call.signed_by(secret[:-4] + "AAA=")
    assert CANARY not in str(call)
    view = settled(hooked, job_id)
    assert (view["url"], view["state"]) == (receiver.url, "delivered")
    assert [(one["number"], one["outcome"], one["status"]) for one in view["attempts"]] == [(1, "delivered", 204)]
    assert job["links"]["webhook"] == f"/v1/jobs/{job_id}/webhook"
    wait_until(lambda: hooked.jobs.blobs.names("webhooks/due") == [])
    time.sleep(0.3)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        (JobState.FAILED, Failure(code="input_damaged", message=f"The file of {CANARY} breaks off.")),
        (JobState.CANCELLED, None),
    ],
)
def test_an_end_without_result_is_told_by_its_code(
    hooked: ApiService, receiver: Receiver, secret: str, state: JobState, failure: Failure | None
) -> None:
    end(hooked, submitted(hooked, receiver.url), state, failure)
    [call] = receiver.wait_for(1)
    assert call.told["type"] == f"job.{state.value}"
    assert call.told["data"]["code"] == (failure.code if failure else None)
    assert CANARY not in str(call)


def test_no_secret_is_lost_when_several_are_made_at_once(tmp_path: Path) -> None:
    book = SecretBook(open_blob_store(str(tmp_path)))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: book.rotate("anna").shown, range(8)))
    assert sorted(one.shown for one in book.signing("anna")) == sorted(made)
    assert book.signing("berta") == []
    last = book.rotate("anna", timedelta(0)).shown
    assert [one.shown for one in book.signing("anna")] == [last]
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1, "what has ended is erased"


def test_a_message_is_what_the_api_says_of_it(hooked: ApiService, receiver: Receiver, secret: str) -> None:
    told = own_document().told
    described = told["webhooks"]["job_ended"]["post"]
    content = described["requestBody"]["content"]["application/json"]
    end(hooked, submitted(hooked, receiver.url))
    [call] = receiver.wait_for(1)
    for body in (call.told, content["examples"]["succeeded"]["value"]):
        jsonschema.validate(body, content["schema"] | {"components": told["components"]})
    assert {one["name"] for one in described["parameters"]} == {
        name for name in call.headers if name.startswith("webhook-")
    }


def test_a_receiver_in_trouble_hears_the_same_message_until_it_takes_it(
    hooked: ApiService, receiver: Receiver, secret: str
) -> None:
    receiver.answers, receiver.location = [500, 302], "/elsewhere"
    job_id = submitted(hooked, receiver.url)
    end(hooked, job_id)
    view = settled(hooked, job_id)
    assert [(one["outcome"], one["status"]) for one in view["attempts"]] == [
        ("bad_status", 500),
        ("bad_status", 302),
        ("delivered", 204),
    ]
    assert len({(call.path, call.headers["webhook-id"], call.body) for call in receiver.calls}) == 1
    assert all(call.signed_by(secret) for call in receiver.calls)


@pytest.mark.parametrize(("answers", "attempts"), [([500] * 9, 4), ([410] * 9, 1)])
def test_a_delivery_is_given_up_in_the_end_and_at_once_by_a_receiver_that_is_gone(
    hooked: ApiService, receiver: Receiver, secret: str, answers: list[int], attempts: int
) -> None:
    receiver.answers = answers
    job_id = submitted(hooked, receiver.url)
    end(hooked, job_id)
    view = settled(hooked, job_id)
    assert (view["state"], view["next_attempt_at"]) == ("given_up", None)
    time.sleep(0.3)
    assert len(receiver.calls) == len(view["attempts"]) == attempts


def test_a_secret_that_is_being_replaced_signs_along_and_a_leaked_one_no_more(
    hooked: ApiService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METSEG_STORE", hooked.settings.store)

    def rotate(*more: str) -> str:
        main(["webhooks", "rotate", *more])
        return capsys.readouterr().out.strip()

    first, second = rotate(), rotate()
    end(hooked, submitted(hooked, receiver.url))
    call = receiver.wait_for(1)[-1]
    assert call.signed_by(first)
    assert call.signed_by(second)
    third = rotate("--overlap-h", "0")
    end(hooked, submitted(hooked, receiver.url))
    call = receiver.wait_for(2)[-1]
    assert [call.signed_by(one) for one in (first, second, third)] == [False, False, True]
    main(["webhooks", "list"])
    listed = capsys.readouterr().out
    assert listed.count("\n") == 1
    assert "whsec_" not in listed


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "https://127.0.0.2/",
        "https://[::1]/",
        "https://u:p@localhost/",
        "localhost",
        "https:x",
    ],
)
def test_an_address_that_may_not_be_told_is_refused_and_leaves_no_job(
    hooked: ApiService, secret: str, url: str
) -> None:
    said = problem(hooked.submit(webhook_url=url), 422, "webhook_refused")
    assert url not in str(said)
    assert hooked.jobs.ids() == []
    assert hooked.jobs.blobs.names("webhooks") == ["secrets"]


def test_a_webhook_that_nobody_could_sign_is_refused(hooked: ApiService, receiver: Receiver) -> None:
    said = problem(hooked.submit(webhook_url=receiver.url), 422, "webhook_refused")
    assert "metseg-api webhooks rotate" in str(said["detail"])
    problem(hooked.submit(webhook_url=f"{receiver.url}{'x' * 2048}"), 422, "request_invalid")


def test_a_webhook_belongs_to_the_upload_that_a_key_stands_for(
    hooked: ApiService, receiver: Receiver, secret: str
) -> None:
    first = hooked.submit(key="k", webhook_url=receiver.url)
    again = hooked.submit(key="k", webhook_url=receiver.url)
    assert again.json()["id"] == first.json()["id"]
    problem(hooked.submit(key="k"), 422, "idempotency_key_reused")
    assert hooked.jobs.blobs.names("webhooks/due") == [first.json()["id"]]


def test_a_job_that_is_deleted_is_not_told_of(hooked: ApiService, receiver: Receiver, secret: str) -> None:
    job_id = submitted(hooked, receiver.url)
    hooked.http.delete(f"/v1/jobs/{job_id}")
    wait_until(lambda: hooked.jobs.blobs.names("webhooks/due") == [])
    assert receiver.calls == []
    assert hooked.http.get(f"/v1/jobs/{job_id}/webhook").status_code == 410


def test_a_job_without_a_webhook_says_so(hooked: ApiService) -> None:
    problem(hooked.http.get(f"/v1/jobs/{hooked.submitted()}/webhook"), 404, "webhook_not_found")


def test_a_receiver_that_lets_everything_hang_does_not_hold_up_the_others(
    hooked: ApiService, receiver: Receiver, secret: str
) -> None:
    with Receiver().serving() as hanging:
        hanging.silent_s = 3
        url = hanging.url.replace("localhost", "127.0.0.1")
        for job_id in [submitted(hooked, url) for _ in range(delivery_loop.MOST_TO_ONE_HOST + 3)]:
            end(hooked, job_id)
        hanging.wait_for(delivery_loop.MOST_TO_ONE_HOST)
        end(hooked, submitted(hooked, receiver.url))
        receiver.wait_for(1)
        assert len(hanging.calls) == delivery_loop.MOST_TO_ONE_HOST, "the others had to wait for it"
        hanging.silent_s = 0
        hanging.wait_for(delivery_loop.MOST_TO_ONE_HOST + 3)


def test_a_damaged_note_does_not_hold_up_the_others(hooked: ApiService, receiver: Receiver, secret: str) -> None:
    damaged = submitted(hooked, receiver.url)
    hooked.jobs.blobs.put(hooked.jobs.webhook_key(damaged, 1, "claim.json"), b"?")
    end(hooked, damaged)
    sound = submitted(hooked, receiver.url)
    end(hooked, sound)
    [call] = receiver.wait_for(1)
    assert call.told["data"]["job_id"] == sound
    assert Outcome.DELIVERED.value in str(settled(hooked, sound))


@pytest.mark.usefixtures("secret")
def test_one_attempt_that_breaks_does_not_hold_up_the_others(
    hooked: ApiService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submitted(hooked, receiver.url)
    body_of = delivery_loop.body_of

    def broken_for_the_first(job: Job) -> bytes:
        if job.id == first:
            raise RuntimeError(CANARY)
        return body_of(job)

    monkeypatch.setattr(delivery_loop, "body_of", broken_for_the_first)
    end(hooked, first)
    assert settled(hooked, first)["state"] == "given_up"
    second = submitted(hooked, receiver.url)
    end(hooked, second)
    assert settled(hooked, second)["state"] == "delivered"
    assert hooked.http.get("/readyz").json()["parts"]["loops"]["ready"]


@pytest.mark.usefixtures("secret")
def test_a_job_that_cannot_be_looked_after_does_not_hold_up_the_others(
    hooked: ApiService, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = submitted(hooked, receiver.url), submitted(hooked, receiver.url)
    next_delivery = delivery_loop.DeliveryLoop._next_delivery

    def broken_for_the_first(self: delivery_loop.DeliveryLoop, job_id: str) -> object:
        if job_id == first:
            raise ValueError(CANARY)
        return next_delivery(self, job_id)

    with monkeypatch.context() as broken:
        broken.setattr(delivery_loop.DeliveryLoop, "_next_delivery", broken_for_the_first)
        end(hooked, first)
        end(hooked, second)
        assert settled(hooked, second)["state"] == "delivered"
        assert hooked.http.get("/readyz").json()["parts"]["loops"]["ready"]
    assert settled(hooked, first)["state"] == "delivered"
