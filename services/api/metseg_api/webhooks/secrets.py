"""The secrets that webhooks are signed with, one owner's beside another's in the store.

They belong to the owner of jobs and not to one API key, of which only a digest is kept, and which comes and goes
while jobs are under way. A secret is needed as it is for every signature, so it can be guarded, but not hashed.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from metseg.blobs import BlobStore
from metseg.errors import BlobNotFoundError, StoreError
from metseg.jobs import Schema

FOLDER = "webhooks/secrets"
PREFIX = "whsec_"
SECRET_BYTES = 32  # Standard Webhooks: 24 to 64
OVERLAP = timedelta(hours=24)
"""How long the secrets before a new one still sign as well, unless said otherwise."""


class Secret(Schema):
    """One secret: `whsec_` and its bytes in base64. It signs until `until`, where that is not None."""

    shown: str
    created_at: AwareDatetime
    until: AwareDatetime | None = None

    @property
    def key(self) -> bytes:
        """The bytes that sign."""
        return base64.b64decode(self.shown.removeprefix(PREFIX))


class OwnersSecrets(Schema):
    """The secrets of one owner, newest first; `owner` is None where access is not controlled."""

    schema_version: Literal[1] = 1
    owner: str | None
    secrets: list[Secret]


class SecretBook:
    """Makes secrets, and finds those that sign now."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def rotate(self, owner: str | None, overlap: timedelta = OVERLAP) -> Secret:
        """Make an owner's new secret; those before it sign along for a while, for receivers to change over."""
        now = datetime.now(UTC)
        made = Secret(shown=PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(), created_at=now)
        ends = {one: min(one.until or now + overlap, now + overlap) for one in self.signing(owner)}
        ending = [one.model_copy(update={"until": end}) for one, end in ends.items() if end > now]
        kept = OwnersSecrets(owner=owner, secrets=[made, *ending])
        self._blobs.put(_key(owner), kept.model_dump_json().encode())
        return made

    def signing(self, owner: str | None) -> list[Secret]:
        """The secrets that sign an owner's webhooks now, newest first; none where none was ever made."""
        try:
            found = self._read(_key(owner))
        except BlobNotFoundError:
            return []
        now = datetime.now(UTC)
        return [one for one in found.secrets if one.until is None or one.until > now]

    def owners(self) -> Iterator[OwnersSecrets]:
        """All secrets that were made, by owner."""
        for name in self._blobs.names(FOLDER):
            yield self._read(f"{FOLDER}/{name}")

    def _read(self, key: str) -> OwnersSecrets:
        try:
            return OwnersSecrets.model_validate_json(self._blobs.get(key))
        except ValidationError:
            raise StoreError("the store holds no webhook secrets where it should: a record is damaged") from None


def _key(owner: str | None) -> str:
    return f"{FOLDER}/{hashlib.sha256((owner or '').encode()).hexdigest()}.json"
