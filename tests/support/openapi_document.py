"""The API's description of itself, and whether an answer is one that it describes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import httpx

from metseg_api.app import create_app
from metseg_api.settings import ApiSettings

Json = dict[str, Any]

BY_THE_ROUTER = {"route_not_found", "method_not_allowed"}  # of what is no operation


@dataclass(frozen=True)
class Operation:
    """One method of one path, with what the document says of it."""

    method: str
    path: str
    told: Json

    @property
    def id(self) -> str:
        name: str = self.told["operationId"]
        return name

    @property
    def parameters(self) -> dict[str, Json]:
        return {one["name"]: one for one in self.told.get("parameters", [])}

    @property
    def answers(self) -> dict[int, Json]:
        return {int(status): told for status, told in self.told["responses"].items()}

    def codes(self, status: int) -> set[str]:
        """Of the problems that may come with a status."""
        content = self.answers.get(status, {}).get("content", {})
        return set(content.get("application/problem+json", {}).get("examples", {}))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{\w+\}", "[^/]+", self.path))


class Document:
    """An OpenAPI document."""

    def __init__(self, told: Json) -> None:
        self.told = told
        self.operations = list(self._operations())

    def check(self, answer: httpx.Response) -> None:
        """Fail if an answer is none that the document describes; to be called before its body is read."""
        asked = answer.request.method, answer.request.url.path
        operation = next((one for one in self.operations if self._is(one, *asked)), None)
        code = self._code(answer)
        if code in BY_THE_ROUTER or operation is None:
            return
        known = operation.answers.get(answer.status_code)
        assert known is not None, f"{operation.id} answered {answer.status_code}, which it does not tell of"
        assert code is None or code in operation.codes(answer.status_code), (
            f"{operation.id} does not tell of {code}"
        )

    def _operations(self) -> Iterator[Operation]:
        for path, methods in self.told["paths"].items():
            for method, told in methods.items():
                yield Operation(method.upper(), path, told)

    @staticmethod
    def _is(operation: Operation, method: str, path: str) -> bool:
        return operation.method == method and operation.pattern.fullmatch(path) is not None

    @staticmethod
    def _code(answer: httpx.Response) -> str | None:
        if answer.headers.get("content-type") != "application/problem+json" or answer.request.method == "HEAD":
            return None
        answer.read()
        code: str = answer.json()["code"]
        return code


@cache
def own_document() -> Document:
    """What the API of this repository says of itself, under any settings."""
    return Document(create_app(ApiSettings.from_env({})).openapi())
