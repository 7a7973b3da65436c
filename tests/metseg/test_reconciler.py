"""Who looks after jobs that nobody has: on a real Redis and a real store, with short patience."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis_fixture import RedisServer

from metseg import holders as holders_module
from metseg import reconciler as reconciler_module
from metseg.blobs import open_blob_store
from metseg.dispatch import Dispatcher
from metseg.errors import JobGoneError, QueueUnavailableError
from metseg.holders import UPLOAD, Holders
from metseg.jobs import (
    MOST_LOST_ATTEMPTS,
    AttemptEnd,
    Final,
    InputFile,
    JobRecord,
    JobRequest,
    JobState,
    ModelRef,
    new_job_id,
)
from metseg.jobstore import JobStore
from metseg.reconciler import Reconciler
from metseg.recovery import Recovery

UNHELD_S = 0.3


@dataclass
class Keep:
    """A reconciler, and what it looks after."""

    folder: Path
    redis: Redis
    store: JobStore
    dispatcher: Dispatcher
    holders: Holders
    reconciler: Reconciler

    def accept(self, *, kept_s: float = 3600, enqueue: bool = True) -> str:
        """Do as the API does."""
        job_id = new_job_id()
        key = self.store.input_key(job_id)
        self.store.blobs.put(key, b"scan")
        self.store.create(
            JobRecord(
                id=job_id,
                created_at=datetime.now(UTC),
                request=JobRequest(),
                model=ModelRef(name="attention_unet", version=1, digest="d"),
                inputs=[InputFile(key=key, size_bytes=4, sha256="s")],
                kept_s=kept_s,
            )
        )
        if enqueue:
            self.dispatcher.enqueue(job_id, 1, timeout_s=5)
        return job_id

    def take(self) -> str:
        """Take the entry that waits longest out of the queue, as a worker that dies at once; its name."""
        entry = self.redis.lpop("rq:queue:metseg")
        return entry.decode()

    def waiting(self) -> list[str]:
        return [entry.decode() for entry in self.redis.lrange("rq:queue:metseg", 0, -1)]

    def look_until(self, condition: Callable[[], object], timeout_s: float = 20) -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < until, "looked in vain"
            self.reconciler.look()
            time.sleep(0.05)

    def look_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.reconciler.look()
            time.sleep(0.05)

    def end(self, job_id: str, attempt: int = 1, ended_ago_s: float = 0) -> Final:
        finished_at = datetime.now(UTC) - timedelta(seconds=ended_ago_s)
        final = Final(job_id=job_id, state=JobState.SUCCEEDED, attempt=attempt, finished_at=finished_at)
        assert self.store.finish(final)
        return final

    def files(self, job_id: str) -> list[str]:
        """Every file of a job, hidden ones included."""
        folder = self.folder / "jobs" / job_id
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def keep(tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keep]:
    monkeypatch.setattr(reconciler_module, "UNHELD_S", UNHELD_S)
    monkeypatch.setattr(holders_module, "BEAT_EVERY_S", 0.1)
    with keeping(tmp_path, server) as made:
        made.redis.flushall()
        yield made


@contextmanager
def keeping(folder: Path, server: RedisServer) -> Iterator[Keep]:
    store = JobStore(open_blob_store(str(folder)))
    with (
        closing(Redis.from_url(server.url)) as redis,
        closing(Dispatcher(server.url)) as dispatcher,
        closing(Holders(server.url)) as holders,
    ):
        reconciler = Reconciler(store, dispatcher, holders, timeout_s=5)
        yield Keep(folder, redis, store, dispatcher, holders, reconciler)


def test_a_job_that_waits_is_let_wait(keep: Keep) -> None:
    job_id = keep.accept()
    keep.look_for(3 * UNHELD_S)
    assert keep.waiting() == [f"{job_id}-1"]


def test_a_job_whose_worker_died_before_it_claimed_it_waits_again(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]
    assert keep.store.latest_attempt(job_id) == 0


def test_an_attempt_whose_heart_stopped_is_lost_and_the_next_waits(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    assert keep.store.claim(job_id, 1)
    keep.store.blobs.put(keep.store.artefact_key(job_id, 1, "mask.nii.gz"), b"half")
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-2"]
    assert keep.store.lost_attempts(job_id) == 1
    assert "attempts/1/mask.nii.gz" not in keep.files(job_id)


def test_an_attempt_that_beats_is_left_alone(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    with keep.holders.holding(job_id, 1):
        assert keep.store.claim(job_id, 1)
        keep.look_for(4 * UNHELD_S)
        assert keep.waiting() == []
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-2"]


def test_an_attempt_that_turns_up_at_the_last_moment_is_not_given_up(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    with keep.holders.holding(job_id, 1):
        assert keep.store.claim(job_id, 1)
        Recovery(keep.store, keep.dispatcher, keep.holders, timeout_s=5).settle(job_id)
    assert (keep.waiting(), keep.store.lost_attempts(job_id)) == ([], 0)


def test_whoever_hangs_for_too_long_beats_no_more(keep: Keep) -> None:
    beats: list[bool] = []
    with keep.holders.holding(new_job_id(), 1, most_s=0.3, on_beat=beats.append):
        time.sleep(1)
    assert 2 <= len(beats) <= 5


def test_beats_of_an_earlier_attempt_are_refused_and_it_is_told(keep: Keep) -> None:
    job_id, told = new_job_id(), list[bool]()
    with keep.holders.holding(job_id, 1, on_beat=told.append):
        assert keep.holders.beat(job_id, 2)
        time.sleep(0.5)
    assert (told[0], told[-1]) == (True, False)
    assert keep.holders.is_held(job_id)


def test_a_reported_loss_is_acted_on_at_once(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.holders.beat(job_id, 1)
    assert keep.store.claim(job_id, 1)
    keep.holders.report_lost(job_id, 1, "worker_lost")
    keep.reconciler.look()
    assert keep.waiting() == [f"{job_id}-2"]
    assert keep.holders.lost() == []


def test_a_late_report_of_an_earlier_attempt_changes_nothing(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    for attempt in (1, 2):
        assert keep.store.claim(job_id, attempt)
    with keep.holders.holding(job_id, 2):
        keep.holders.report_lost(job_id, 1, "worker_lost")
        keep.look_for(2 * UNHELD_S)
    assert (keep.waiting(), keep.store.lost_attempts(job_id)) == ([], 0)


def test_a_job_that_loses_its_worker_three_times_fails_for_good(keep: Keep) -> None:
    job_id = keep.accept()
    for attempt in range(1, MOST_LOST_ATTEMPTS + 1):
        assert keep.take() == f"{job_id}-{attempt}"
        assert keep.store.claim(job_id, attempt)
        keep.look_until(lambda: keep.waiting() or keep.store.final(job_id))
    final = keep.store.final(job_id)
    assert (final.state, final.failure.code, final.attempt) == (JobState.FAILED, "worker_lost", 3)
    keep.look_for(2 * UNHELD_S)
    assert keep.waiting() == []


def test_an_attempt_that_was_given_back_is_followed_by_the_next_and_is_no_loss(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    assert keep.store.claim(job_id, 1)
    keep.store.end_attempt(job_id, 1, AttemptEnd(ended_at=datetime.now(UTC)))
    keep.look_until(keep.waiting)
    assert (keep.waiting(), keep.store.lost_attempts(job_id)) == ([f"{job_id}-2"], 0)


def test_the_end_of_an_attempt_that_died_before_it_was_the_jobs_is_published(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    assert keep.store.claim(job_id, 1)
    final = Final(job_id=job_id, state=JobState.SUCCEEDED, attempt=1, finished_at=datetime.now(UTC))
    keep.store.end_attempt(job_id, 1, AttemptEnd(ended_at=final.finished_at, final=final))
    keep.look_until(lambda: keep.store.final(job_id))
    assert keep.store.final(job_id) == final
    assert keep.waiting() == []


def test_a_wiped_redis_loses_nothing(keep: Keep) -> None:
    waits, runs, ended, stopping = (keep.accept() for _ in range(4))
    for _ in range(4):
        keep.take()
    for job_id in (runs, stopping):
        assert keep.store.claim(job_id, 1)
    keep.store.ask_cancel(stopping)
    keep.end(ended)
    keep.look_for(UNHELD_S / 2)
    keep.redis.flushall()
    with keep.holders.holding(runs, 1):
        keep.look_until(lambda: keep.waiting() and keep.store.final(stopping) and keep.holders.known() >= {ended})
        assert keep.waiting() == [f"{waits}-1"]
        assert keep.store.final(stopping).state is JobState.CANCELLED
        assert keep.store.final(runs) is None
    keep.look_until(lambda: len(keep.waiting()) == 2)
    assert keep.waiting() == [f"{waits}-1", f"{runs}-2"]


def test_a_running_attempt_hears_of_a_cancel_that_redis_forgot(keep: Keep) -> None:
    job_id = keep.accept(enqueue=False)
    keep.store.ask_cancel(job_id)
    with keep.holders.holding(job_id, 1):
        keep.look_until(lambda: keep.dispatcher.cancel_requested(job_id))


def test_jobs_that_a_dead_api_never_queued_are_found(keep: Keep) -> None:
    first, second = keep.accept(enqueue=False), keep.accept(enqueue=False)
    keep.look_until(lambda: len(keep.waiting()) == 2)
    assert keep.waiting() == [f"{first}-1", f"{second}-1"]


def test_an_ended_job_expires_and_leaves_a_tombstone(keep: Keep) -> None:
    old, young = keep.accept(kept_s=60), keep.accept(kept_s=60)
    keep.end(old, ended_ago_s=61)
    keep.end(young, ended_ago_s=10)
    for _ in range(2):
        keep.take()
    keep.look_until(lambda: keep.files(old) == ["tombstone.json"])
    keep.look_for(2 * UNHELD_S)
    assert keep.store.final(young) is not None
    with pytest.raises(JobGoneError):
        keep.store.load(old)
    assert keep.redis.smembers("metseg:watched") == set()


def test_a_job_that_waits_in_vain_expires(keep: Keep) -> None:
    job_id = keep.accept(kept_s=0.2)
    keep.look_until(lambda: keep.files(job_id) == ["tombstone.json"])
    keep.take()
    keep.look_until(lambda: job_id not in keep.holders.unheld([]))
    assert keep.files(job_id) == ["tombstone.json"]


def test_a_tombstone_goes_in_the_end(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = keep.accept()
    keep.store.erase(job_id)
    monkeypatch.setattr("metseg.jobs.TOMBSTONE_KEPT_S", 0.5)
    keep.take()
    keep.look_until(lambda: not keep.store.blobs.names("jobs"))
    assert keep.holders.known() == set()


def test_what_is_left_of_an_upload_without_a_sender_goes(keep: Keep) -> None:
    left, under_way = new_job_id(), new_job_id()
    for job_id in (left, under_way):
        (keep.folder / "jobs" / job_id / "input").mkdir(parents=True)
        (keep.folder / "jobs" / job_id / "input" / ".0.part").write_bytes(b"half a scan")
    with keep.holders.holding(under_way, UPLOAD):
        keep.look_until(lambda: keep.files(left) == ["tombstone.json"])
        keep.look_for(2 * UNHELD_S)
        assert keep.files(under_way) == ["input/.0.part"]


def test_what_lost_attempts_left_of_an_ended_job_goes_and_its_result_stays(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    for attempt in (1, 2):
        assert keep.store.claim(job_id, attempt)
        keep.store.blobs.put(keep.store.artefact_key(job_id, attempt, "mask.nii.gz"), b"mask")
    (keep.folder / "jobs" / job_id / "attempts" / "2" / ".x.part").write_bytes(b"half")
    keep.end(job_id, attempt=2)
    keep.look_until(lambda: keep.redis.scard("metseg:watched") == 0)
    attempts = [name for name in keep.files(job_id) if name.startswith("attempts")]
    assert attempts == ["attempts/1/lease.json", "attempts/2/lease.json", "attempts/2/mask.nii.gz"]


def test_what_is_written_below_a_tombstone_goes(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.store.erase(job_id)
    keep.store.claim(job_id, 1)
    keep.look_until(lambda: keep.files(job_id) == ["tombstone.json"])


def test_one_looks_at_a_time(keep: Keep, server: RedisServer) -> None:
    keep.reconciler.look()
    with keeping(keep.folder, server) as other:
        job_id = keep.accept()
        keep.take()
        other.look_for(3 * UNHELD_S)
        assert keep.waiting() == []
        keep.holders.step_down()
        other.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]


def test_a_damaged_job_does_not_hold_up_the_others(keep: Keep) -> None:
    damaged, sound = keep.accept(), keep.accept()
    keep.store.blobs.put(f"jobs/{damaged}/job.json", b"{}")
    for _ in range(2):
        keep.take()
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{sound}-1"]


def test_a_reconciler_waits_for_redis_and_counts_anew(keep: Keep, server: RedisServer) -> None:
    job_id = keep.accept()
    keep.take()
    keep.look_for(UNHELD_S / 2)
    server.stop()
    with pytest.raises(QueueUnavailableError):
        keep.reconciler.look()
    rounds = iter([False, False, True])
    keep.reconciler.run(lambda _seconds: next(rounds))
    server.start()
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]


def test_what_others_write_into_redis_does_not_stop_it(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.redis.sadd("metseg:watched", "../../etc", b"\xff", "")
    keep.redis.zadd("metseg:due", {"x": 1, "jobs/..": 2})
    keep.redis.hset("metseg:lost", mapping={"x-1": "y", f"{job_id}-x": "y", f"{job_id}--1": "y", b"\xff": b"\xff"})
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]
