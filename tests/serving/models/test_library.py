"""Which version is loaded when, with folders on a real disk and a loader in TensorFlow's place."""

import asyncio
import threading

import grpc
import pytest

from metseg_serving.config import BatchingRules, ModelSource, VersionPolicy, discover
from metseg_serving.models.library import LoadRules, ServedModels
from metseg_serving.models.versions import ModelSpec
from metseg_serving.refusal import Refusal

LATEST = ModelSpec("net")
LATEST_ONLY = VersionPolicy()


class Network:
    """A loaded version that only notes when it comes and goes."""

    def __init__(self, events, number):
        self.events, self.number = events, number
        events.append(f"load {number}")

    def run(self, signature, inputs, outputs):
        raise AssertionError("nothing is asked of a version in these tests")

    def close(self):
        self.events.append(f"close {self.number}")


class House:
    """Versions of one model on disk; a version folder with a file `broken` cannot be loaded."""

    def __init__(self, folder, policy=LATEST_ONLY, retries=0, retry_s=0.0, threads=2):
        self.folder = folder / "net"
        self.events: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        source = ModelSource("net", self.folder, policy)
        self.models = ServedModels(
            lambda: [source],
            LoadRules(self.load, retries=retries, retry_s=retry_s, threads=threads),
            BatchingRules(),
        )

    def load(self, path):
        self.gate.wait(10)
        if (path / "broken").exists():
            self.events.append(f"fail {path.name}")
            raise KeyError("no graph")
        return Network(self.events, int(path.name))

    def add(self, number, *, broken=False):
        (self.folder / str(number)).mkdir(parents=True)
        if broken:
            (self.folder / str(number) / "broken").touch()

    def remove(self, number):
        (self.folder / str(number)).rename(self.folder / f".gone-{number}")

    async def settle(self):
        self.models.refresh()
        for _ in range(20):
            await asyncio.sleep(0.005)

    def states(self):
        return {version.number: version.state.name for version in self.models.versions("net")}


def test_the_newest_version_is_served_and_hidden_folders_are_none(tmp_path):
    async def run():
        house = House(tmp_path)
        for name in (1, 2, ".3.tmp", "notes", "4x"):
            (house.folder / str(name)).mkdir(parents=True)
        (house.folder / "5").write_text("a file")
        await house.models.load_initial()
        assert house.states() == {2: "AVAILABLE"}
        with house.models.hold(LATEST) as version:
            assert version.number == 2

    asyncio.run(run())


def test_a_new_version_is_loaded_before_the_old_one_goes(tmp_path):
    async def run():
        house = House(tmp_path)
        house.add(1)
        await house.models.load_initial()
        house.add(2)
        house.gate.clear()
        await house.settle()
        assert house.states() == {1: "AVAILABLE", 2: "LOADING"}
        house.gate.set()
        await house.settle()
        assert house.states() == {1: "END", 2: "AVAILABLE"}
        assert house.events == ["load 1", "load 2", "close 1"]

    asyncio.run(run())


def test_a_version_in_use_is_not_closed(tmp_path):
    async def run():
        house = House(tmp_path)
        house.add(1)
        await house.models.load_initial()
        with house.models.hold(LATEST), house.models.hold(LATEST) as version:
            house.add(2)
            await house.settle()
            assert house.states() == {1: "UNLOADING", 2: "AVAILABLE"}
            assert version.servable.number == 1
            with house.models.hold(LATEST) as newest:
                assert newest.number == 2
        await house.settle()
        assert house.states() == {1: "END", 2: "AVAILABLE"}

    asyncio.run(run())


def test_a_broken_version_takes_nothing_down_and_ends_with_its_error(tmp_path):
    async def run():
        house = House(tmp_path, retries=2)
        house.add(1)
        await house.models.load_initial()
        house.add(2, broken=True)
        await house.settle()
        assert house.states() == {1: "AVAILABLE", 2: "END"}
        assert house.events == ["load 1", "fail 2", "fail 2", "fail 2"]
        assert "no graph" in house.models.versions("net")[1].failure.message
        await house.settle()
        assert house.events.count("fail 2") == 3

    asyncio.run(run())


def test_a_version_that_is_repaired_while_it_is_retried_becomes_available(tmp_path):
    async def run():
        house = House(tmp_path, retries=5, retry_s=0.05)
        house.add(1)
        await house.models.load_initial()
        house.add(2, broken=True)
        await house.settle()
        assert house.states() == {1: "AVAILABLE", 2: "LOADING"}
        (house.folder / "2" / "broken").unlink()
        await asyncio.sleep(0.1)
        await house.settle()
        assert house.states() == {1: "END", 2: "AVAILABLE"}
        assert house.models.versions("net")[1].failure is None

    asyncio.run(run())


def test_a_broken_version_that_is_taken_away_is_not_tried_any_more(tmp_path):
    async def run():
        house = House(tmp_path, retries=5, retry_s=60)
        house.add(1)
        await house.models.load_initial()
        house.add(2, broken=True)
        await house.settle()
        house.remove(2)
        await house.settle()
        assert house.states() == {1: "AVAILABLE", 2: "END"}
        with house.models.hold(LATEST) as version:
            assert version.number == 1

    asyncio.run(run())


def test_taking_the_newest_version_away_brings_the_one_before_back(tmp_path):
    async def run():
        house = House(tmp_path)
        house.add(1)
        house.add(2)
        await house.models.load_initial()
        house.remove(2)
        await house.settle()
        assert house.states() == {1: "AVAILABLE", 2: "END"}
        assert house.events == ["load 2", "load 1", "close 2"]

    asyncio.run(run())


def test_a_folder_that_cannot_be_read_changes_nothing(tmp_path):
    async def run():
        house = House(tmp_path)
        house.add(1)
        await house.models.load_initial()
        house.folder.rename(tmp_path / "elsewhere")
        await house.settle()
        assert house.states() == {1: "AVAILABLE"}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (VersionPolicy(latest=2), {2, 5}),
        (VersionPolicy(latest=float("inf")), {1, 2, 5}),
        (VersionPolicy(specific=frozenset({1, 9})), {1}),
    ],
)
def test_the_policy_chooses_the_versions(tmp_path, policy, served):
    async def run():
        house = House(tmp_path, policy)
        for number in (1, 2, 5):
            house.add(number)
        await house.models.load_initial()
        assert set(house.states()) == served

    asyncio.run(run())


def test_a_start_with_a_broken_version_beside_a_good_one_serves_the_good_one(tmp_path):
    async def run():
        house = House(tmp_path, VersionPolicy(latest=2), retries=2)
        house.add(1)
        house.add(2, broken=True)
        await house.models.load_initial()
        assert house.states() == {1: "AVAILABLE", 2: "END"}
        assert house.events.count("fail 2") == 3
        with house.models.hold(LATEST) as version:
            assert version.number == 1

    asyncio.run(run())


@pytest.mark.parametrize(("threads", "states"), [(0, "START"), (1, "START"), (2, "AVAILABLE")])
def test_a_load_that_is_retried_holds_the_next_one_up_unless_there_is_a_second_thread(tmp_path, threads, states):
    async def run():
        house = House(tmp_path, VersionPolicy(latest=3), retries=1, retry_s=60, threads=threads)
        house.add(1)
        await house.models.load_initial()
        house.add(2, broken=True)
        await house.settle()
        house.add(3)
        await house.settle()
        assert house.states() == {1: "AVAILABLE", 2: "LOADING", 3: states}

    asyncio.run(run())


@pytest.mark.parametrize(("threads", "state"), [(0, "UNLOADING"), (2, "END")])
def test_without_load_threads_a_retry_holds_up_unloading_too(tmp_path, threads, state):
    async def run():
        house = House(
            tmp_path, VersionPolicy(specific=frozenset({1, 2, 3})), retries=1, retry_s=60, threads=threads
        )
        house.add(1)
        house.add(2)
        await house.models.load_initial()
        house.add(3, broken=True)
        await house.settle()
        house.remove(1)
        await house.settle()
        assert house.states() == {1: state, 2: "AVAILABLE", 3: "LOADING"}

    asyncio.run(run())


def test_a_start_with_a_broken_or_without_any_model_is_refused(tmp_path):
    house = House(tmp_path)
    house.add(1, broken=True)
    with pytest.raises(Refusal, match=r"1 servable\(s\) did not become available: .*no graph"):
        asyncio.run(house.models.load_initial())
    empty = ServedModels(lambda: discover(tmp_path / "nothing"), LoadRules(house.load), BatchingRules())
    with pytest.raises(Refusal, match="no model"):
        asyncio.run(empty.load_initial())


def test_a_model_that_appears_later_is_served_too(tmp_path):
    async def run():
        models = ServedModels(
            lambda: discover(tmp_path), LoadRules(lambda path: Network([], int(path.name))), BatchingRules()
        )
        (tmp_path / "one" / "1").mkdir(parents=True)
        (tmp_path / "weights").mkdir()
        await models.load_initial()
        with pytest.raises(Refusal) as caught, models.hold(ModelSpec("two")):
            pass
        assert caught.value.code is grpc.StatusCode.NOT_FOUND
        (tmp_path / "two" / "1").mkdir(parents=True)
        models.refresh()
        await asyncio.sleep(0.1)
        with models.hold(ModelSpec("two", 1)) as version:
            assert version.model == "two"

    asyncio.run(run())


def test_a_reload_ends_when_a_new_model_can_answer_and_waits_for_one_that_has_no_folder(tmp_path):
    async def run():
        house = House(tmp_path)
        house.add(1)
        await house.models.load_initial()
        own = ModelSource("net", house.folder)
        (tmp_path / "two" / "1").mkdir(parents=True)
        await house.models.reload([own, ModelSource("two", tmp_path / "two")])
        with house.models.hold(ModelSpec("two")) as version:
            assert version.number == 1
        lost = asyncio.create_task(house.models.reload([own, ModelSource("three", tmp_path / "three")]))
        after = asyncio.create_task(house.models.reload([own]))
        await asyncio.sleep(0.2)
        assert not lost.done()
        assert not after.done()
        (tmp_path / "three" / "1").mkdir(parents=True)
        house.models.refresh()
        await asyncio.wait_for(asyncio.gather(lost, after), 10)

    asyncio.run(run())


def test_a_new_model_that_cannot_be_loaded_is_told_by_the_reload(tmp_path):
    async def run():
        house = House(tmp_path)
        house.add(1)
        await house.models.load_initial()
        (tmp_path / "two" / "1").mkdir(parents=True)
        (tmp_path / "two" / "1" / "broken").touch()
        with pytest.raises(Refusal, match="did not become available.*no graph"):
            await house.models.reload([ModelSource("net", house.folder), ModelSource("two", tmp_path / "two")])
        assert house.states() == {1: "AVAILABLE"}

    asyncio.run(run())
