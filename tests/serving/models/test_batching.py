"""Requests that wait together run together, and nobody notices."""

import asyncio
import threading

import grpc
import numpy as np
import pytest

from metseg_serving.config import BatchingRules
from metseg_serving.models.batching import Batcher, Unbatched
from metseg_serving.refusal import Refusal


class Network:
    """Doubles its input and remembers the size of each batch; `gate` holds it back."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, signature, inputs, outputs):
        self.gate.wait(10)
        self.sizes.append(inputs["x"].shape[0])
        if signature == "broken":
            raise Refusal(grpc.StatusCode.INTERNAL, "no")
        if signature == "sum":
            return {"y": inputs["x"].sum()}
        return {"y": inputs["x"] * 2.0}


def rows(*values):
    return {"x": np.array(values, np.float32)[:, None]}


def submit_all(requests, rules, signature="double"):
    """Answers, or errors, of requests of which the first is running while the others come in; and batch sizes."""

    async def run():
        network = Network()
        network.gate.clear()
        batcher = Batcher(network, rules)
        tasks = [asyncio.create_task(batcher.submit(signature, inputs, ("y",))) for inputs in requests]
        await asyncio.sleep(0.05)
        network.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True), network.sizes

    return asyncio.run(run())


def test_what_waits_while_a_batch_runs_is_the_next_batch():
    answers, sizes = submit_all([rows(1), rows(2, 3), rows(4), rows(5)], BatchingRules(max_batch_size=16))
    assert sizes == [4 + 1] or sizes == [1, 4]
    assert [answer["y"].ravel().tolist() for answer in answers] == [[2], [4, 6], [8], [10]]


def test_a_batch_never_has_more_rows_than_allowed():
    answers, sizes = submit_all([rows(i, i) for i in range(7)], BatchingRules(max_batch_size=5))
    assert max(sizes) <= 5
    assert [answer["y"].ravel().tolist() for answer in answers] == [[2 * i, 2 * i] for i in range(7)]


@pytest.mark.parametrize("splits", [None, 4])
def test_a_request_of_more_rows_than_allowed_is_refused_before_anything_is_split(splits):
    rules = BatchingRules(max_batch_size=16, max_execution_batch_size=splits)
    answers, sizes = submit_all([rows(*range(24)), rows(1)], rules)
    assert (answers[0].code, answers[0].message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Task size 24 is larger than maximum input batch size 16",
    )
    assert answers[1]["y"].tolist() == [[2]]
    assert sizes == [1]


def test_an_allowed_request_larger_than_a_batch_is_split_and_put_together_again():
    answers, sizes = submit_all([rows(*range(11))], BatchingRules(max_batch_size=16, max_execution_batch_size=4))
    assert sizes == [4, 4, 3]
    assert answers[0]["y"].ravel().tolist() == [2 * i for i in range(11)]


def test_without_batching_a_request_of_any_size_runs_by_itself():
    network = Network()
    answer = asyncio.run(Unbatched(network).submit("double", rows(*range(2000)), ("y",)))
    assert answer["y"].ravel().tolist() == [2 * i for i in range(2000)]
    assert network.sizes == [2000]


def test_different_shapes_do_not_share_a_batch():
    wide = {"x": np.ones((1, 3), np.float32)}
    answers, sizes = submit_all([rows(1), wide, rows(2)], BatchingRules(max_batch_size=16))
    assert sizes == [1, 1, 1]
    assert answers[1]["y"].shape == (1, 3)


def test_an_error_reaches_everybody_in_the_batch_and_the_next_one_runs():
    answers, _ = submit_all([rows(1), rows(2)], BatchingRules(), signature="broken")
    assert [answer.message for answer in answers] == ["no", "no"]


def test_a_full_queue_turns_requests_away():
    rules = BatchingRules(max_batch_size=1, max_enqueued_batches=2)
    answers, _ = submit_all([rows(i) for i in range(5)], rules)
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refused
    assert {refusal.code for refusal in refused} == {grpc.StatusCode.UNAVAILABLE}
    assert len(refused) < 5


def test_a_request_that_was_given_up_takes_no_place_in_a_batch():
    async def run():
        network = Network()
        network.gate.clear()
        batcher = Batcher(network, BatchingRules(max_batch_size=1))
        first, second, third = (asyncio.create_task(batcher.submit("double", rows(i), ("y",))) for i in range(3))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0)
        network.gate.set()
        answers = await asyncio.gather(first, second, third, return_exceptions=True)
        return answers, network.sizes

    answers, sizes = asyncio.run(run())
    assert isinstance(answers[1], asyncio.CancelledError)
    assert sizes == [1, 1]
    assert answers[2]["y"].tolist() == [[4]]


def test_a_waiting_window_gathers_what_comes_within_it():
    async def run():
        network = Network()
        batcher = Batcher(network, BatchingRules(timeout_s=0.2))
        tasks = []
        for i in range(3):
            tasks.append(asyncio.create_task(batcher.submit("double", rows(i), ("y",))))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
        return network.sizes

    assert asyncio.run(run()) == [3]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"x": np.float32(1)}, "must have at least one dimension"),
        ({"x": np.zeros((2, 1)), "z": np.zeros((3, 1))}, "must have equal 0th-dimension size"),
    ],
)
def test_inputs_without_common_rows_are_refused(inputs, text):
    answers, _ = submit_all([{name: np.asarray(array) for name, array in inputs.items()}], BatchingRules())
    assert answers[0].code is grpc.StatusCode.INVALID_ARGUMENT
    assert text in answers[0].message


def test_an_output_without_rows_is_refused():
    answers, _ = submit_all([rows(1)], BatchingRules(), signature="sum")
    assert answers[0].message == "Batched output tensor has 0 dimensions"
