"""The public keys of an OpenID Connect issuer: out of a file, or fetched from the issuer and kept for a while.

It follows no redirects, so that it asks nobody but whom the settings and the issuer's own document name.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import httpx

from metseg.errors import SettingsError
from metseg_api.errors import IssuerUnavailableError

DISCOVERY: Final = "/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0, section 4."""
FETCH_EVERY_S: Final = 10.0
"""The issuer is asked at most so often, however many unknown keys are named."""
FRESH_S: Final = 600.0
"""Keys older than this are fetched again, so that one which the issuer has withdrawn stops to count."""
KEPT_S: Final = 24 * 3600.0
"""Keys count for so long when the issuer cannot be asked."""
ANSWER_WITHIN_S: Final = 3.0
MOST_BYTES: Final = 1 << 20

Jwk: TypeAlias = Mapping[str, Any]
"""One key as RFC 7517 writes it."""


class IssuerKeys(Protocol):
    """Where the keys come from."""

    def named(self, key_id: str | None) -> Sequence[Jwk]:
        """The keys of that id (`kid`); all of them where a token names none.

        Raises:
            IssuerUnavailableError: The issuer would have to be asked and does not answer.
        """


class JwksFile:
    """Keys out of a JWK set in a file, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            SettingsError: It cannot be read, or is no JWK set.
        """
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: list[Jwk] = []
        self._read()

    def named(self, key_id: str | None) -> Sequence[Jwk]:
        """See `IssuerKeys`; a file that is damaged later on raises SettingsError."""
        self._read()
        return _named(self._keys, key_id)

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_size
            if stamp != self._stamp:
                self._keys = _key_list(json.loads(self._path.read_bytes()))
                self._stamp = stamp
        except OSError as exc:
            raise SettingsError(f"METSEG_OIDC_JWKS: cannot read the file ({exc.strerror})") from exc
        except ValueError:
            raise SettingsError('METSEG_OIDC_JWKS: expected a JWK set: {"keys": [...]}') from None


class FetchedKeys:
    """Keys that the issuer publishes; may be used from several threads."""

    def __init__(self, issuer: str, fetch: Callable[[str], Any] | None = None) -> None:
        """Take the issuer's address; nothing is asked before the first token."""
        self._issuer = issuer
        self._fetch = fetch or JsonFetcher()
        self._lock = threading.Lock()
        self._keys: list[Jwk] = []
        self._fetched_at = self._tried_at = float("-inf")

    def named(self, key_id: str | None) -> Sequence[Jwk]:
        """See `IssuerKeys`."""
        known = self._counting(key_id)
        if known and time.monotonic() - self._fetched_at < FRESH_S:
            return known
        # A request that names a key which still counts does not wait while another one asks.
        if self._lock.acquire(blocking=not known):
            try:
                self._refresh()
            finally:
                self._lock.release()
            known = self._counting(key_id)
        if not known and self._fetched_at < self._tried_at:
            raise IssuerUnavailableError("The issuer of the token does not answer.", FETCH_EVERY_S)
        return known

    def _counting(self, key_id: str | None) -> list[Jwk]:
        return _named(self._keys, key_id) if time.monotonic() - self._fetched_at < KEPT_S else []

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._tried_at < FETCH_EVERY_S:
            return
        self._tried_at = now
        try:
            self._keys = _key_list(self._fetch(self._key_address()))
        except (httpx.HTTPError, OSError, ValueError):
            return  # what is known goes on
        self._fetched_at = now

    def _key_address(self) -> str:
        told = self._fetch(self._issuer.rstrip("/") + DISCOVERY)
        if not isinstance(told, dict) or told.get("issuer") != self._issuer:
            raise ValueError("the document is of another issuer")
        address = told.get("jwks_uri")
        if not isinstance(address, str) or not is_safe_address(address):
            raise ValueError("the document names no https address of keys")
        return address


class JsonFetcher:
    """Gets JSON from an address; the environment's proxy is used where it names one."""

    def __init__(self) -> None:
        self._client = httpx.Client(
            timeout=ANSWER_WITHIN_S, headers={"Accept": "application/json"}, follow_redirects=False
        )

    def __call__(self, address: str) -> Any:
        """What the address answers.

        Raises:
            httpx.HTTPError: It does not answer within `ANSWER_WITHIN_S`, or not with 200.
            ValueError: Its answer is no JSON, or too long.
        """
        until, body = time.monotonic() + ANSWER_WITHIN_S, bytearray()
        with self._client.stream("GET", address) as answer:
            if answer.status_code != httpx.codes.OK:
                raise httpx.HTTPError(f"answered {answer.status_code}")
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise ValueError("the answer is too long")
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("the answer takes too long")
        return json.loads(body)


def is_safe_address(address: str) -> bool:
    """Whether what comes from an address can be trusted to come from there: https, or this machine itself."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not host or parts.username is not None or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _key_list(told: Any) -> list[Jwk]:
    """The keys of a JWK set (RFC 7517, section 5); ValueError where it is none."""
    keys = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no JWK set")
    return [key for key in keys if isinstance(key, dict)]


def _named(keys: Sequence[Jwk], key_id: str | None) -> list[Jwk]:
    return [key for key in keys if key_id is None or key.get("kid") == key_id]
