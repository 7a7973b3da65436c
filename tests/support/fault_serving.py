"""Faults of TF Serving: away for a moment or for minutes, out of memory, slow, reloading, wrong."""

import time
from random import Random

import grpc
import numpy as np
from fault_stack import FaultStack

from metseg.serving.proto import serving_wire_pb2 as wire

SHORT_AWAY_S = 12.0


def serving_away(stack: FaultStack, rng: Random) -> None:
    stack.serving_goes(away_s=1 + 2 * rng.random())


def serving_away_for_minutes(stack: FaultStack, _rng: Random) -> None:
    """As while a server on a GPU starts: `stack.long_away_s` the first time, some seconds later on."""
    stack.serving_goes(away_s=stack.long_away_s)
    stack.long_away_s = min(stack.long_away_s, SHORT_AWAY_S)


def serving_without_memory(stack: FaultStack, rng: Random) -> None:
    """Batches of more than a few slices do not fit; now and then the server fails altogether."""
    most = rng.randint(1, 4)
    stack.serving.refuses = lambda slices: (
        grpc.StatusCode.RESOURCE_EXHAUSTED
        if slices > most
        else grpc.StatusCode.INTERNAL
        if rng.random() < 0.1
        else None
    )
    time.sleep(3)
    stack.serving.refuses = lambda slices: None


def serving_slow(stack: FaultStack, rng: Random) -> None:
    stack.serving.pause_s = 0.5 + rng.random()
    time.sleep(3)
    stack.serving.pause_s = 0


def serving_reloads(stack: FaultStack, rng: Random) -> None:
    """The version is unloaded under the jobs that use it, and loaded again."""
    stack.serving.is_loaded = False
    time.sleep(1 + 2 * rng.random())
    stack.serving.is_loaded = True


def not_a_number(answer: wire.PredictResponse) -> None:
    """Spoil an answer."""
    tensor = answer.outputs["probability"]
    tensor.tensor_content = np.full(len(tensor.tensor_content) // 4, np.nan, "<f4").tobytes()


def serving_answers_nan(stack: FaultStack, _rng: Random) -> None:
    stack.spoil(not_a_number, 1.5)


def serving_answers_another_shape(stack: FaultStack, _rng: Random) -> None:
    def spoil(answer: wire.PredictResponse) -> None:
        answer.outputs["probability"].tensor_shape.dim[1].size = 128

    stack.spoil(spoil, 1.5)


def serving_answers_for_another_version(stack: FaultStack, _rng: Random) -> None:
    def spoil(answer: wire.PredictResponse) -> None:
        answer.model_spec.version.value += 1

    stack.spoil(spoil, 1.5)
