"""Requests to one API and their answers: what goes wrong becomes one of the client's errors, or a wait."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from metseg_client.errors import AnswerError, ApiError, ApiUnreachableError
from metseg_client.problems import problem

SHORTEST_PAUSE_S = 1.0


def _ignore(_error: ApiError) -> None:
    """The `on_pause` of a caller that does not care."""


@dataclass(frozen=True)
class Patience:
    """How long one request waits, altogether, for an API that tells when to come back (`Retry-After`).

    Attributes:
        longest_s: 0 takes every refusal as it comes.
        on_pause: told before each pause what the API said; its `retry_after_s` is how long the pause is.
    """

    longest_s: float = 0.0
    on_pause: Callable[[ApiError], None] = _ignore


class Wire:
    """Speaks HTTP to one API; may be used from several threads.

    Proxies and passwords of the environment are not used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        api_key: str | None,
        patience: Patience,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.timeout_s = timeout_s
        self._patience = patience
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout_s,
            transport=transport,
            trust_env=False,
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """The answer, read whole, after as many pauses as the API asked for and the patience allows.

        Raises:
            ApiError: the API says no.
            ApiUnreachableError: nobody answers.
            AnswerError: what answers is no metseg API.
        """
        left_s = self._patience.longest_s
        while True:
            with self._reachable():
                response = self._http.request(method, path, **how)
            try:
                _raise_for_problem(response)
            except ApiError as error:
                pause_s = max(error.retry_after_s or 0, SHORTEST_PAUSE_S)
                if error.retry_after_s is None or pause_s > left_s:
                    raise
                left_s -= pause_s
                self._patience.on_pause(error)
                time.sleep(pause_s)
            else:
                return response

    @contextmanager
    def stream(self, method: str, path: str, **how: Any) -> Iterator[httpx.Response]:
        """The answer, its body not read yet; raises like `send`, also when the line breaks in the body."""
        with self._reachable(), self._http.stream(method, path, **how) as response:
            _raise_for_problem(response)
            yield response

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.DecodingError) as exc:
            place = f"{self._http.base_url.scheme}://{self._http.base_url.netloc.decode()}"
            raise ApiUnreachableError(f"no answer from the metseg API at {place}") from exc


def _raise_for_problem(response: httpx.Response) -> None:
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return
    response.read()
    if response.is_error:
        raise problem(response)
    raise AnswerError(f"expected a metseg API, but {response.url.path} answers with {response.status_code}")
