"""Senders and a watcher: who sends jobs through every fault, and sees that no state moves backwards."""

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from uuid import uuid4

import httpx
from hostile_files import HOSTILE, nifti, picture_of_a_lesion

STAGES = ("queued", "read", "prepare", "predict", "finish")
RANK = {"queued": 0, "running": 1, "succeeded": 2, "failed": 2, "cancelled": 2}
GIVE_UP_S = 240.0
SENDERS = 3
MOST_OPEN_A_WORKER = 6
"""Under way at once; some of them wait to be noticed, for the process that had them is dead."""
CANCEL_WITHIN_S = 15.0
LOOK_EVERY_S = 0.4
SCANS = (*4 * [picture_of_a_lesion()], *4 * [nifti()], HOSTILE["text"][0](), HOSTILE["truncated gzip"][0]())
"""What is sent: mostly what succeeds, and cheap to segment."""


@dataclass
class Seen:
    """What was seen of a job, each answer that differed from the one before."""

    answers: list[dict[str, object]] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return bool(self.answers) and RANK[str(self.answers[-1]["state"])] == 2

    def moved_backwards(self) -> bool:
        """Whether a state, a final one or the number of attempts went back."""
        for before, after in pairwise(self.answers):
            if RANK[before["state"]] > RANK[after["state"]] or before["attempt"] > after["attempt"]:
                return True
            if RANK[before["state"]] == 2 and before != after:
                return True
        return False


class Load:
    """Sends `count` jobs; each again under its key until it is accepted, and some at the same moment twice."""

    def __init__(self, url: str, *, count: int, seed: int, workers: int) -> None:
        self._url, self._seed, self._most_open = url, seed, MOST_OPEN_A_WORKER * workers
        self.seen: dict[str, Seen] = {}
        self.tally: Counter[str] = Counter()
        self._next = iter(range(count))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._senders = [threading.Thread(target=self._send_all, args=(one,)) for one in range(SENDERS)]
        self._watcher = threading.Thread(target=self._watch)

    def start(self) -> None:
        for thread in (*self._senders, self._watcher):
            thread.start()

    @property
    def is_sending(self) -> bool:
        return any(thread.is_alive() for thread in self._senders)

    @property
    def open_jobs(self) -> list[str]:
        with self._lock:
            return [job_id for job_id, seen in self.seen.items() if not seen.is_final]

    def stop(self) -> None:
        self._stop.set()
        for thread in (*self._senders, self._watcher):
            thread.join()

    def _send_all(self, sender: int) -> None:
        rng = Random(f"{self._seed}/{sender}")
        with httpx.Client(base_url=self._url, timeout=30) as http:
            while not self._stop.is_set():
                with self._lock:
                    number = next(self._next, None)
                if number is None:
                    return
                job_id = self._send(http, rng.choice(SCANS), twice=rng.random() < 0.15)
                if rng.random() < 0.15:
                    self._cancel(http, job_id, rng.choice(STAGES))
                self._keep_pace()

    def _keep_pace(self) -> None:
        while len(self.open_jobs) > self._most_open and not self._stop.is_set():
            time.sleep(0.2)

    def _send(self, http: httpx.Client, scan: bytes, *, twice: bool) -> str:
        key, answers = uuid4().hex, set[str]()
        given = (http, scan, key, answers)
        threads = [threading.Thread(target=self._post, args=given) for _ in range(1 + twice)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 1, f"one key, {len(answers)} jobs"
        [job_id] = answers
        self.tally["duplicates sent at the same moment"] += twice
        with self._lock:
            self.seen[job_id] = Seen()
        return job_id

    def _post(self, http: httpx.Client, scan: bytes, key: str, answers: set[str]) -> None:
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                answer = http.post("/v1/jobs", files={"file": scan}, headers={"Idempotency-Key": key})
                if answer.status_code == 202:
                    self.tally["answers that were replays"] += "Idempotency-Replayed" in answer.headers
                    answers.add(answer.json()["id"])
                    return
                assert answer.status_code in (409, 503), answer.text
            self.tally["uploads that were refused or broke off"] += 1
            time.sleep(0.3)

    def _cancel(self, http: httpx.Client, job_id: str, wanted: str) -> None:
        """Cancel a job as soon as it is seen in a stage, or in a later one."""
        until = time.monotonic() + CANCEL_WITHIN_S
        stage = "queued"
        while STAGES.index(stage) < STAGES.index(wanted) and time.monotonic() < until:
            time.sleep(0.02)
            with suppress(httpx.TransportError):
                job = http.get(f"/v1/jobs/{job_id}").json()
                if RANK.get(job.get("state"), 0) == 2:
                    return
                stage = (job.get("progress") or {"stage": stage})["stage"]
        with suppress(httpx.TransportError):
            answer = http.post(f"/v1/jobs/{job_id}/cancel")
            assert answer.status_code in (202, 409, 503), answer.text
            self.tally[f"cancels accepted, last seen in stage {stage}"] += answer.status_code == 202

    def _watch(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as http:
            while not self._stop.wait(LOOK_EVERY_S):
                for job_id in self.open_jobs:
                    with suppress(httpx.TransportError):
                        self._look(http, job_id)

    def _look(self, http: httpx.Client, job_id: str) -> None:
        answer = http.get(f"/v1/jobs/{job_id}")
        if answer.status_code == 503:
            return
        assert answer.status_code == 200, answer.text
        job = {name: answer.json()[name] for name in ("state", "attempt", "finished_at", "error")}
        seen = self.seen[job_id]
        if not seen.answers or seen.answers[-1] != job:
            seen.answers.append(job)
