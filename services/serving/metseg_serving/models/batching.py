"""How requests reach a network: those that wait at the same moment as one batch, or each by itself."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol

import grpc
import numpy as np
from numpy.typing import NDArray

from metseg_serving.config import BatchingRules
from metseg_serving.refusal import Refusal, invalid
from metseg_serving.tensors import count_rows

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[str, Arrays, tuple[str, ...]], dict[str, NDArray[Any]]]


class Submit(Protocol):
    """Answers one request, whatever else is under way."""

    async def submit(self, signature: str, inputs: Arrays, outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Run a network on the inputs of one request."""


class Unbatched:
    """Runs each request by itself, of whatever size, as TF Serving does without `--enable_batching`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def submit(self, signature: str, inputs: Arrays, outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Run the network in a thread.

        Raises:
            Refusal: The network refused.
        """
        return await asyncio.to_thread(self._run, signature, inputs, outputs)


@dataclass(frozen=True)
class _Batch:
    """Rows of several requests on their way through the network."""

    result: asyncio.Future[dict[str, NDArray[Any]]]
    start: int


@dataclass(frozen=True, eq=False)
class _Part:
    """A request, or a piece of one that is too large for a batch; `formed` tells the batch it went into."""

    signature: str
    outputs: tuple[str, ...]
    inputs: Arrays
    rows: int
    formed: asyncio.Future[_Batch] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def kind(self) -> Hashable:
        """Parts of one kind can be laid behind each other."""
        tensors = tuple((name, a.shape[1:], a.dtype.str) for name, a in sorted(self.inputs.items()))
        return self.signature, self.outputs, tensors


class Batcher:
    """The queue before one loaded version; one batch runs at a time, in a thread.

    Args:
        run: Answers a batch: signature, inputs and names of the outputs go in. Called outside the event loop.
        rules: Sizes and times.
    """

    def __init__(self, run: Run, rules: BatchingRules) -> None:
        self._run = run
        self._rules = rules
        self._queue: deque[_Part] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, signature: str, inputs: Arrays, outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Answer one request, in whatever company.

        Raises:
            Refusal: The inputs cannot be batched or are too many, too much waits already, or the network refused.
        """
        rows = count_rows(inputs)
        if rows > self._rules.max_batch_size:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {self._rules.max_batch_size}")
        self._check_room()
        largest = self._rules.rows_per_batch
        starts = range(0, max(rows, 1), largest)
        parts = [
            _Part(signature, outputs, {name: a[s : s + largest] for name, a in inputs.items()}, size)
            for s, size in ((s, min(largest, rows - s)) for s in starts)
        ]
        self._queue.extend(parts)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            answers = [await self._answer(part) for part in parts]
        finally:
            for part in parts:
                part.formed.cancel()  # a caller that gave up is left out of the next batch
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in outputs}

    def _check_room(self) -> None:
        limit = self._rules.max_enqueued_batches
        waiting = ceil(sum(part.rows for part in self._queue) / self._rules.rows_per_batch)
        if waiting >= limit:
            raise Refusal(
                grpc.StatusCode.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; "
                f"currently {waiting} batches enqueued and max_enqueued_batches is {limit}",
            )

    async def _answer(self, part: _Part) -> dict[str, NDArray[Any]]:
        batch = await part.formed
        result = await asyncio.shield(batch.result)
        return {name: array[batch.start : batch.start + part.rows] for name, array in result.items()}

    async def _work(self) -> None:
        while self._queue:
            waiting = sum(part.rows for part in self._queue)
            if self._rules.timeout_s and waiting < self._rules.rows_per_batch:
                await asyncio.sleep(self._rules.timeout_s)
            parts = self._take()
            if parts:
                batch = asyncio.ensure_future(asyncio.to_thread(self._run_batch, parts))
                start = 0
                for part in parts:
                    part.formed.set_result(_Batch(batch, start))
                    start += part.rows
                await asyncio.wait([batch])
                batch.exception()  # is for those who wait for its rows, of whom none may be left

    def _take(self) -> list[_Part]:
        """The parts at the head of the queue that fit together, fewer rows than the limit."""
        taken: list[_Part] = []
        rows = 0
        while self._queue:
            part = self._queue[0]
            if not part.formed.cancelled():
                if taken and (part.kind != taken[0].kind or rows + part.rows > self._rules.rows_per_batch):
                    break
                taken.append(part)
                rows += part.rows
            self._queue.popleft()
        return taken

    def _run_batch(self, parts: list[_Part]) -> dict[str, NDArray[Any]]:
        first = parts[0]
        inputs = first.inputs
        if len(parts) > 1:
            inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in first.inputs}
        result = self._run(first.signature, inputs, first.outputs)
        rows = sum(part.rows for part in parts)
        if any(array.ndim == 0 for array in result.values()):
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if any(array.shape[0] != rows for array in result.values()):
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of "
                "the input tensors",
            )
        return result
