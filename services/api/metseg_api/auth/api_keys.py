"""API keys: who may ask, and for what. The file holds digests only; a key is shown once, when it is made.

A key is `metseg_<id>_<secret>` with 256 random bits in its secret, so a plain SHA-256 keeps it safe: a slow hash
hinders guessing, and here is nothing to guess.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from metseg.errors import RequestError, SettingsError
from metseg.schemas.job import Schema

OWNER_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"

KEY_PREFIX = "metseg_"

_KEY = re.compile(KEY_PREFIX + r"([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a key is good for."""

    SUBMIT = "submit"
    """Send scans; cancel and delete one's own jobs."""
    READ = "read"
    """Follow one's own jobs and take their results."""
    ADMIN = "admin"
    """Both, on the jobs of everyone, and the metrics."""


class ApiKey(Schema):
    """A key as it is kept: all but its secret.

    Attributes:
        id: Its public part; stands in logs and in the audit trail.
        owner: Whose jobs it sends and sees; several keys may share an owner.
        sha256: Digest of the whole key.
    """

    schema_version: Literal[1] = 1
    id: str
    owner: str = Field(pattern=OWNER_PATTERN)
    scopes: tuple[Scope, ...]
    sha256: str
    created_at: AwareDatetime
    revoked_at: AwareDatetime | None = None


_KEYS = TypeAdapter(list[ApiKey])


class KeyFile:
    """The keys of one installation, read again when the file changes: what is revoked is refused at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def keys(self) -> list[ApiKey]:
        """All keys, revoked ones too, in the order of their making.

        Raises:
            SettingsError: The file cannot be read, or is no list of keys.
        """
        try:
            status = self.path.stat()
            stamp = status.st_mtime_ns, status.st_size
            if stamp != self._stamp:
                self._keys = {key.id: key for key in _KEYS.validate_json(self.path.read_bytes())}
                self._stamp = stamp
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
        except OSError as exc:
            raise SettingsError(f"METSEG_KEYS: cannot read the file ({exc.strerror})") from exc
        except ValidationError:
            raise SettingsError("METSEG_KEYS: expected a file made by `metseg-api keys create`") from None
        return list(self._keys.values())

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented, unless there is none or it was revoked."""
        match = _KEY.fullmatch(presented)
        if match is None:
            return None
        found = next((key for key in self.keys() if key.id == match[1]), None)
        if found is None or found.revoked_at or not hmac.compare_digest(found.sha256, _digest(presented)):
            return None
        return found

    def create(self, owner: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
        """Make a key; what is answered beside it is the key itself, which nobody can tell again.

        Raises:
            RequestError: The owner's name is not of small letters, digits and `._-`.
        """
        if not re.fullmatch(OWNER_PATTERN, owner):
            raise RequestError("An owner has 1 to 64 small letters, digits, dots, dashes and underlines.")
        key_id = secrets.token_hex(4)
        shown = f"{KEY_PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
        key = ApiKey(
            id=key_id,
            owner=owner,
            scopes=tuple(dict.fromkeys(scopes)),
            sha256=_digest(shown),
            created_at=datetime.now(UTC),
        )
        with self._changing():
            self._write([*self.keys(), key])
        return key, shown

    def revoke(self, key_id: str) -> ApiKey:
        """End a key; it stays in the list.

        Raises:
            RequestError: No key has that id, or it is revoked already.
        """
        with self._changing():
            keys = {key.id: key for key in self.keys()}
            if key_id not in keys or keys[key_id].revoked_at:
                raise RequestError("No key that still counts has that id.")
            revoked = keys[key_id] = keys[key_id].model_copy(update={"revoked_at": datetime.now(UTC)})
            self._write(list(keys.values()))
        return revoked

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let one process at a time read the file and put another in its place."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as exc:
            raise SettingsError(f"METSEG_KEYS: cannot write beside the file ({exc.strerror})") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._stamp = None
            yield
        finally:
            os.close(lock)

    def _write(self, keys: Sequence[ApiKey]) -> None:
        """Put the whole file in place at once, for its owner's eyes only."""
        temporary = self.path.with_name(f".{self.path.name}.{uuid4().hex}")
        text = json.dumps([key.model_dump(mode="json") for key in keys], indent=2) + "\n"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(self.path)
        except OSError as exc:
            raise SettingsError(f"METSEG_KEYS: cannot write the file ({exc.strerror})") from exc
        finally:
            temporary.unlink(missing_ok=True)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
