"""The models being served: which versions there are on disk, which are loaded, and who holds them.

A new version is loaded and warmed up before the old one goes; one that cannot be loaded takes nothing down.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc

from metseg_serving.batching import Batcher
from metseg_serving.config import BatchingRules, ModelSource
from metseg_serving.refusal import Refusal, invalid, not_found
from metseg_serving.servable import Servable

log = logging.getLogger(__name__)


class State(IntEnum):
    """Life of a version, numbered as in ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class LoadRules:
    """How versions are loaded.

    Args:
        retries: Further attempts after the first.
        retry_s: Pause before each of them.
        load: Loads a folder; called in a thread, may raise anything.
    """

    load: Callable[[Path], Servable]
    retries: int = 5
    retry_s: float = 60.0


@dataclass(frozen=True)
class ModelSpec:
    """Which version of which model a request wants; the newest where it names none."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"


@dataclass(eq=False)
class Version:
    """One version and what has become of it."""

    model: str
    number: int
    path: Path
    state: State = State.START
    failure: Refusal | None = None
    wanted: bool = True
    loaded: tuple[Servable, Batcher] | None = None
    holders: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def servable(self) -> Servable:
        """The network; only for who holds the version."""
        return self._in_memory[0]

    @property
    def batcher(self) -> Batcher:
        """The queue before the network; only for who holds the version."""
        return self._in_memory[1]

    @property
    def _in_memory(self) -> tuple[Servable, Batcher]:
        if self.loaded is None:
            raise Refusal(grpc.StatusCode.INTERNAL, f"version {self.number} of {self.model} is not loaded")
        return self.loaded


class ServedModels:
    """Every version of every model, kept in step with the disk by `refresh`.

    Lives in one event loop: all methods are called there, and only loading and running leave it.

    Args:
        sources: Asked at each refresh for the models to serve.
        loading: How versions are loaded.
        batching: How requests are merged.
    """

    def __init__(
        self, sources: Callable[[], list[ModelSource]], loading: LoadRules, batching: BatchingRules
    ) -> None:
        self._sources = sources
        self._loading = loading
        self._batching = batching
        self._models: dict[str, dict[int, Version]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load_initial(self) -> None:
        """Load what is there now.

        Raises:
            Refusal: There is nothing to serve, or a model cannot be loaded.
        """
        self.refresh()
        if not self._models:
            raise not_found("no model with a version was found")
        await asyncio.gather(*self._tasks)
        for versions in self._models.values():
            for version in versions.values():
                if version.failure is not None:
                    raise version.failure

    async def follow(self, poll_s: float) -> None:
        """Refresh again and again."""
        while True:
            await asyncio.sleep(poll_s)
            self.refresh()

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
                self._want(version, version.number in wanted)
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
            raise invalid(f"Unrecognized servable version label: {spec.label}")
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _want(self, version: Version, wanted: bool) -> None:
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

    async def _load(self, version: Version) -> None:
        name, number = version.model, version.number
        for attempt in range(self._loading.retries + 1):
            if attempt:
                await _wait(version.dropped, self._loading.retry_s)
            if version.dropped.is_set():
                break
            version.state = State.LOADING
            loading = asyncio.ensure_future(asyncio.to_thread(self._loading.load, version.path))
            await asyncio.wait([loading])
            exc = loading.exception()  # a broken SavedModel may raise anything; it is this version's matter alone
            if exc is None:
                servable = loading.result()
                version.loaded = servable, Batcher(servable.run, self._batching)
                version.failure = None
                version.state = State.AVAILABLE
                log.info("version %d of model %s is available", number, name)
                self._unload_surplus(name)
                return
            version.failure = _failure(version, exc)
            log.error("version %d of model %s cannot be loaded: %s", number, name, version.failure)
        version.state = State.END

    async def _unload(self, version: Version) -> None:
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
