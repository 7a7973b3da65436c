"""Background loops that end: `/readyz` says so, they start again, and the others go on."""

import json
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import pytest
from api_service import StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer
from webhook_receiver import wait_until

from metseg.logs import JsonLines
from metseg.queue.notifications import JobNotifications
from metseg.queue.reconciler import Reconciler
from metseg_api import supervision
from metseg_api.jobs.watcher import JobWatch
from metseg_api.supervision import Supervisor
from metseg_api.uploads.reservations import Reservations
from metseg_api.webhooks.delivery_loop import DeliveryLoop

CANARY = "MUSTERMANN_ERIKA"
LOOPS: dict[str, tuple[type, str]] = {
    "job_watch": (JobWatch, "run"),
    "webhooks": (DeliveryLoop, "run"),
    "reconciler": (Reconciler, "run"),
    "news": (JobNotifications, "listen"),
    "upload_heartbeats": (Reservations, "run"),
}


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(supervision, "STEADY_S", 0.5)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_that_ends_makes_the_gateway_unready_until_it_runs_again(
    tmp_path: Path,
    shared_redis: RedisServer,
    own_status_server: StatusServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    broken = Event()
    broken.set()
    owner, method = LOOPS[name]
    run = getattr(owner, method)

    def fragile(*given: Any) -> object:
        if broken.is_set():
            raise RuntimeError(CANARY)
        return run(*given)

    monkeypatch.setattr(owner, method, fragile)
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(tmp_path, redis_url=shared_redis.url, serving_at=own_status_server.target)
    with serving(settings) as api:

        def loops() -> dict[str, object]:
            answer = api.http.get("/readyz")
            part: dict[str, object] = answer.json()["parts"]["loops"]
            assert (answer.status_code == 200) == part["ready"]
            return part

        wait_until(lambda: loops() == {"ready": False, "code": "loop_down"})
        assert api.http.get("/healthz").status_code == 200
        assert 'metseg_up{part="loops"} 0.0' in api.http.get("/metrics").text
        broken.clear()
        wait_until(lambda: loops() == {"ready": True, "code": None})
    lines = [JsonLines().format(one) for one in caplog.records if one.name == supervision.__name__]
    assert {json.loads(line)["loop"] for line in lines} == {name}
    assert CANARY not in "".join(lines)


@pytest.mark.usefixtures("hurry")
def test_a_loop_that_returns_by_itself_is_started_again() -> None:
    supervisor, stop, runs = Supervisor(), Event(), []

    def run() -> None:
        runs.append(supervisor.down())

    thread = Thread(target=supervisor.keep_blocking, args=("short", run, stop))
    thread.start()
    wait_until(lambda: len(runs) >= 3)
    stop.set()
    thread.join()
    assert runs[:2] == [[], ["short"]]


def test_pauses_grow_while_a_loop_fails_and_begin_anew_after_a_steady_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths_s = iter([0.0, 0.0, 0.0, supervision.STEADY_S, *[0.0] * 8])
    now_s = [0.0]

    def run() -> None:
        now_s[0] += next(lengths_s)
        raise ValueError

    class Pauses(Event):
        taken: ClassVar[list[float | None]] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.taken.append(timeout)
            if len(self.taken) == 12:
                self.set()
            return self.is_set()

    monkeypatch.setattr(supervision.time, "monotonic", lambda: now_s[0])
    Supervisor().keep_blocking("failing", run, pauses := Pauses())
    assert pauses.taken[:5] == [1, 2, 4, 1, 2]
    assert pauses.taken[-1] == supervision.LONGEST_PAUSE_S
