"""One version of a model: how it is asked for, and what has become of it."""

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import grpc

from metseg_serving.models.batching import Submit
from metseg_serving.models.servable import Servable
from metseg_serving.refusal import Refusal


class State(IntEnum):
    """Life of a version, numbered as in ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


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
    loaded: tuple[Servable, Submit] | None = None
    holders: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def servable(self) -> Servable:
        """The network; only for who holds the version."""
        return self._in_memory[0]

    @property
    def batcher(self) -> Submit:
        """The queue before the network; only for who holds the version."""
        return self._in_memory[1]

    @property
    def _in_memory(self) -> tuple[Servable, Submit]:
        if self.loaded is None:
            raise Refusal(grpc.StatusCode.INTERNAL, f"version {self.number} of {self.model} is not loaded")
        return self.loaded
