"""The models being served: which versions there are on disk, which are loaded, and who holds them.

A new version is loaded and warmed up before the old one goes; one that cannot be loaded takes nothing down.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from metseg_serving.config import BatchingRules, ModelSource
from metseg_serving.metrics import Figures
from metseg_serving.models.batching import Batcher, Run, Unbatched
from metseg_serving.models.labels import VersionLabels
from metseg_serving.models.servable import Servable
from metseg_serving.models.versions import ModelSpec, State, Version
from metseg_serving.refusal import Refusal, invalid, not_found

log = logging.getLogger(__name__)

_LOOK_S = 0.02
"""Pause between looks whether a new model can answer."""


@dataclass(frozen=True)
class LoadRules:
    """How versions are loaded.

    Args:
        retries: Further attempts after the first.
        retry_s: Pause before each of them.
        load: Loads a folder; called in a thread, may raise anything.
        threads: How many versions load at the same time once the server runs. With 0 one change is made at a time:
            while a load is retried, nothing else is loaded or unloaded.
    """

    load: Callable[[Path], Servable]
    retries: int = 5
    retry_s: float = 60.0
    threads: int = 0


class ServedModels:
    """Every version of every model, kept in step with the disk by `refresh`.

    Lives in one event loop: all methods are called there, and only loading and running leave it.

    Args:
        sources: Asked at each refresh for the models to serve, until `reload` names others.
        loading: How versions are loaded.
        batching: How requests are merged; None merges none.
        labels: What labels there are, at first none.
    """

    def __init__(
        self,
        sources: Callable[[], list[ModelSource]],
        loading: LoadRules,
        batching: BatchingRules | None,
        labels: VersionLabels | None = None,
    ) -> None:
        self.figures = Figures()
        self._sources = sources
        self._loading = loading
        self._batching = batching
        self._labels = labels or VersionLabels()
        self._reloading = asyncio.Lock()
        self._load_turns: asyncio.Semaphore | None = None  # at the start all versions load at the same time
        self._models: dict[str, dict[int, Version]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load_initial(self) -> None:
        """Load what is there now; ends when the retries of broken versions have ended, too.

        Raises:
            Refusal: There is nothing to serve, a model has no good version, or a label may not be given yet.
        """
        self._labels.assign(self._sources(), self._is_available)
        self.refresh()
        if not self._models:
            raise not_found("no model with a version was found")
        await asyncio.gather(*self._tasks)
        missing = [name for name in self._models if not self._can_answer(name)]
        if missing:
            raise self._unavailable("servable", missing)
        self._load_turns = asyncio.Semaphore(max(self._loading.threads, 1))

    async def follow(self, poll_s: float) -> None:
        """Refresh again and again."""
        while True:
            await asyncio.sleep(poll_s)
            self.refresh()

    async def reload(self, sources: list[ModelSource]) -> None:
        """Serve these models from now on, and no others; ends when those that are new can answer.

        As with the real server, one that never can keeps this call, and the next, waiting.

        Raises:
            Refusal: A label names a version that is not available, and nothing has changed; or a new model
                cannot be loaded.
        """
        async with self._reloading:
            self._labels.assign(sources, self._is_available)
            new = [source.name for source in sources if source.name not in self._models]
            self._sources = lambda: sources
            for name in self._models.keys() - {source.name for source in sources}:
                for version in self.versions(name):
                    self._want(version, wanted=False)
                self._unload_surplus(name)
            self.refresh()
            for name in new:
                await self._first_answer(name)

    def refresh(self) -> None:
        """Look at the disk once and start loading and unloading what it calls for."""
        for source in self._sources():
            try:
                folders = source.versions()
            except OSError as exc:  # what is served stays until the folder can be read again
                log.warning("cannot look for versions of %s: %s", source.name, exc)
                continue
            wanted = source.policy.choose(set(folders))
            if not wanted and source.name not in self._models:
                continue
            known = self._models.setdefault(source.name, {})
            for number in sorted(wanted):
                old = known.get(number)
                if old is None or (old.state is State.END and not old.wanted):
                    known[number] = Version(source.name, number, folders[number])
                    self._spawn(self._load(known[number]))
            for version in known.values():
                self._want(version, wanted=version.number in wanted)
            self._unload_surplus(source.name)

    def versions(self, name: str) -> list[Version]:
        """All versions ever seen of a model, oldest first; empty for an unknown model."""
        return [version for _, version in sorted(self._models.get(name, {}).items())]

    @contextmanager
    def hold(self, spec: ModelSpec) -> Iterator[Version]:
        """A version that can answer and will stay in memory as long as it is held.

        Raises:
            Refusal: No such version is available.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if spec.label is not None:
            spec = ModelSpec(spec.name, self._labels.version(spec.name, spec.label))
        available = [v for v in self.versions(spec.name) if v.state is State.AVAILABLE]
        chosen = [v for v in available if spec.version in (None, v.number)]
        if not chosen:
            raise not_found(f"Servable not found for request: {spec}")
        version = chosen[-1]
        version.holders += 1
        try:
            yield version
        finally:
            version.holders -= 1
            if not version.holders:
                version.released.set()

    def close(self) -> None:
        """Stop loading; what is in memory goes with the process."""
        for task in self._tasks:
            task.cancel()

    def _is_available(self, name: str, number: int) -> bool:
        version = self._models.get(name, {}).get(number)
        return version is not None and version.state is State.AVAILABLE

    def _can_answer(self, name: str) -> bool:
        return any(version.state is State.AVAILABLE for version in self.versions(name))

    def _unavailable(self, kind: str, names: Iterable[str]) -> Refusal:
        failed = [version for name in names for version in self.versions(name)]
        count = len({version.model for version in failed})
        reasons = "".join(f"{{{v.model} {v.number} due to error: {v.failure}}}, " for v in failed)
        return Refusal(grpc.StatusCode.UNKNOWN, f"{count} {kind}(s) did not become available: {{{reasons}}}")

    async def _first_answer(self, name: str) -> None:
        while not self._can_answer(name):
            versions = self.versions(name)
            if versions and all(version.state is State.END for version in versions):
                raise self._unavailable("model", [name])
            await asyncio.sleep(_LOOK_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _want(self, version: Version, *, wanted: bool) -> None:
        version.wanted = wanted and version.state is not State.UNLOADING
        if not wanted:
            version.dropped.set()

    def _unload_surplus(self, name: str) -> None:
        versions = self._models[name].values()
        wanted = [version for version in versions if version.wanted]
        if wanted and not any(version.state is State.AVAILABLE for version in wanted):
            return
        for version in versions:
            if not version.wanted and version.state is State.AVAILABLE:
                version.state = State.UNLOADING
                self._spawn(self._unload(version))

    def _turn(self) -> AbstractAsyncContextManager[None]:
        return self._load_turns or nullcontext()

    async def _load(self, version: Version) -> None:
        async with self._turn():
            await self._load_with_retries(version)

    async def _load_with_retries(self, version: Version) -> None:
        name, number = version.model, version.number
        for attempt in range(self._loading.retries + 1):
            if attempt:
                await _wait(version.dropped, self._loading.retry_s)
            if version.dropped.is_set():
                break
            version.state = State.LOADING
            start = time.perf_counter()
            loading = asyncio.ensure_future(asyncio.to_thread(self._loading.load, version.path))
            await asyncio.wait([loading])
            exc = loading.exception()  # a broken SavedModel may raise anything; it is this version's matter alone
            self.figures.loaded(str(version.path), time.perf_counter() - start, succeeded=exc is None)
            if exc is None:
                servable = loading.result()
                run = self._timed(name, servable.run)
                batcher = Unbatched(run) if self._batching is None else Batcher(run, self._batching)
                version.loaded = servable, batcher
                version.failure = None
                version.state = State.AVAILABLE
                log.info("version %d of model %s is available", number, name)
                self._unload_surplus(name)
                return
            version.failure = _failure(version, exc)
            log.error("version %d of model %s cannot be loaded: %s", number, name, version.failure)
        version.state = State.END

    def _timed(self, name: str, run: Run) -> Run:
        return lambda signature, inputs, outputs: self.figures.run(name, lambda: run(signature, inputs, outputs))

    async def _unload(self, version: Version) -> None:
        async with nullcontext() if self._loading.threads else self._turn():
            while version.holders:
                version.released.clear()
                await version.released.wait()
            await asyncio.to_thread(version.servable.close)
        version.loaded = None
        version.state = State.END
        log.info("version %d of model %s is unloaded", version.number, version.model)


async def _wait(event: asyncio.Event, limit_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), limit_s)
    except TimeoutError:
        return


def _failure(version: Version, exc: BaseException) -> Refusal:
    if isinstance(exc, Refusal):
        return exc
    return Refusal(grpc.StatusCode.UNKNOWN, f"{version.path}: {type(exc).__name__}: {exc}")
