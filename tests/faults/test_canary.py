"""A patient's name that came in by every way there is stands nowhere but in the input itself."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from canary import (
    FAILING,
    NAME,
    SUCCEEDING,
    folder_content,
    gzip_of_patient,
    holds_name,
    nifti_of_patient,
    png_of_patient,
    redis_content,
)
from canary_sender import Sender
from fault_serving import not_a_number
from fault_stack import FaultStack
from hostile_files import SHAPE, nifti
from redis import Redis
from redis_fixture import RedisServer
from webhook_receiver import Receiver


def ask(stack: FaultStack, *command: str) -> bytes:
    """What a command of `metseg-api` writes."""
    program = [sys.executable, "-m", "metseg_api", *command]
    return subprocess.run(program, env=stack.environment("api"), capture_output=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.timeout(900)
def test_a_planted_name_is_found_nowhere(tmp_path: Path) -> None:
    told = {"METSEG_WEBHOOK_HOSTS": "localhost", "METSEG_TRACE_FILE": str(tmp_path / "here" / "traces.jsonl")}
    with (
        Receiver().serving() as receiver,
        FaultStack(tmp_path / "here", workers=1, **told) as stack,
        closing(Sender(stack.url, receiver.url)) as sender,
    ):
        ask(stack, "webhooks", "rotate")
        paths = {kind: sender.send(make()) for kind, make in (SUCCEEDING | FAILING).items()}
        found = leaks(in_redis(stack))
        ends = {kind: sender.end(path) for kind, path in paths.items()}
        assert {ends[kind] for kind in SUCCEEDING} == {"succeeded"}, ends
        assert all(ends[kind].startswith("input_") for kind in FAILING), ends
        for kind in SUCCEEDING:
            sender.fetch_all(paths[kind])
        found += end_in_every_other_way(stack, sender)
        sender.be_refused(paths["png"])
        sender.http.delete(paths["nifti"])
        receiver.wait_for(len(paths))
        found += leaks(in_redis(stack))
        answers = [("an answer", answer) for answer in sender.answers]
        answers += [("the metrics", sender.http.get("/metrics").content)]
        calls = [("a webhook", repr(call).encode()) for call in receiver.calls]
        found += leaks([*answers, *calls, ("the audit trail", ask(stack, "audit", "export"))])
        found += leaks(folder_content(stack.folder))
    assert found == []


def end_in_every_other_way(stack: FaultStack, sender: Sender) -> list[str]:
    """Jobs with an earlier scan, failed in each later stage, cancelled, deleted, lost; what Redis told then."""
    compared = sender.send(nifti_of_patient(), earlier=gzip_of_patient())
    assert sender.end(compared) == "succeeded"
    sender.fetch_all(compared)
    flat = sender.send(nifti_of_patient(nifti(np.ones(SHAPE, np.int16))))
    assert sender.end(flat) == "input_unsupported"
    stack.serving.spoil = not_a_number
    assert sender.end(sender.send(nifti_of_patient())) == "serving_contract"
    stack.serving.spoil = lambda answer: None
    found = []
    for kind in ("full disk", "cancelled", "deleted", "lost"):
        stack.serving.gate.clear()
        path = sender.send(nifti_of_patient())
        sender.reach(path, "predict")
        found += leaks(in_redis(stack))
        if kind == "full disk":
            stack.disk.fill(leave_bytes=16_000)
            stack.later(2, stack.disk.free)
        elif kind == "cancelled":
            sender.http.post(f"{path}/cancel")
        elif kind == "deleted":
            sender.http.delete(path)
        elif (horse := stack.horse("worker-1")) is not None:
            horse.kill()
        stack.serving.gate.set()
        if kind != "deleted":
            assert sender.end(path) in ("cancelled", "succeeded")
    return found


def in_redis(stack: FaultStack) -> list[tuple[str, bytes]]:
    with stack.redis() as connection:
        return list(redis_content(connection))


def leaks(places: Iterable[tuple[str, bytes]]) -> list[str]:
    """The places in which the name stands."""
    return [place for place, content in places if holds_name(content)]


@pytest.mark.parametrize(
    "hidden",
    [
        f"a log of {NAME.upper()}".encode(),
        NAME.encode("utf-16-le"),
        gzip.compress(NAME.encode(), mtime=0),
        zlib.compress(NAME.encode()),
        png_of_patient(),
        *(make() for make in SUCCEEDING.values()),
    ],
)
def test_the_search_finds_the_name_however_it_is_packed(hidden: bytes) -> None:
    assert holds_name(hidden)
    assert not holds_name(hidden[:8])


def test_the_search_looks_into_names_and_files_but_not_into_what_was_uploaded(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "0").write_text(NAME)
    assert leaks(folder_content(tmp_path)) == []
    (tmp_path / "worker.log").write_text(NAME)
    (tmp_path / "input" / f"{NAME}.nii").touch()
    assert sorted(leaks(folder_content(tmp_path))) == ["a file's name", "worker.log"]


def test_the_search_looks_into_every_kind_of_value_of_redis(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, closing(Redis.from_url(server.url)) as redis:
        redis.set("one", NAME)
        redis.hset("two", "data", zlib.compress(NAME.encode()))
        redis.lpush("three", NAME)
        redis.sadd("four", NAME)
        redis.zadd("five", {NAME: 1})
        redis.xadd("six", {"field": NAME})
        redis.set(f"seven {NAME}", "")
        assert len(leaks(list(redis_content(redis)))) == 7
