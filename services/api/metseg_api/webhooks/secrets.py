"""The secrets that webhooks are signed with, each a file of its own in the store, so that none is overwritten.

They belong to the owner of jobs and not to one API key, of which only a digest is kept, and which comes and goes
while jobs are under way. A secret is needed as it is for every signature, so it can be guarded, but not hashed.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from metseg.errors import BlobNotFoundError, StoreError
from metseg.schemas.job import Schema
from metseg.storage.blob_store import BlobStore

FOLDER = "webhooks/secrets"
PREFIX = "whsec_"
SECRET_BYTES = 32  # Standard Webhooks: 24 to 64
OVERLAP = timedelta(hours=24)
"""How long the secrets before a new one still sign as well, unless said otherwise."""


class Secret(Schema):
    """One secret as it is kept.

    Attributes:
        owner: Whose jobs' webhooks it signs; None where access is not controlled.
        shown: `whsec_` and its bytes in base64.
        overlap: How long the secrets that were made before it sign along.
    """

    schema_version: Literal[1] = 1
    owner: str | None
    shown: str
    created_at: AwareDatetime
    overlap: timedelta

    @property
    def key(self) -> bytes:
        """The bytes that sign."""
        return base64.b64decode(self.shown.removeprefix(PREFIX))


@dataclass(frozen=True)
class Kept:
    """A secret in its place, and until when it signs; None where no newer one ends it."""

    place: str
    secret: Secret
    until: datetime | None

    @property
    def signs(self) -> bool:
        """Whether it signs now."""
        return self.until is None or self.until > datetime.now(UTC)


class SecretBook:
    """Makes secrets, and finds those that sign now."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def rotate(self, owner: str | None, overlap: timedelta = OVERLAP) -> Secret:
        """Make an owner's new secret; those before it sign along for a while, for receivers to change over."""
        shown = PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        made = Secret(owner=owner, shown=shown, created_at=datetime.now(UTC), overlap=overlap)
        name = f"{made.created_at:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.json"
        self._blobs.put(f"{_folder(owner)}/{name}", made.model_dump_json().encode())
        for kept in list(self._kept(_folder(owner))):
            if not kept.signs:
                self._blobs.delete(kept.place)
        return made

    def signing(self, owner: str | None) -> list[Secret]:
        """The secrets that sign an owner's webhooks now, newest first; none where none was ever made."""
        return [kept.secret for kept in self._kept(_folder(owner)) if kept.signs]

    def all_signing(self) -> Iterator[Kept]:
        """The secrets of everybody that sign now, newest first for each owner."""
        for name in self._blobs.names(FOLDER):
            yield from (kept for kept in self._kept(f"{FOLDER}/{name}") if kept.signs)

    def _kept(self, folder: str) -> Iterator[Kept]:
        until: datetime | None = None
        for name in reversed(self._blobs.names(folder)):
            place = f"{folder}/{name}"
            with suppress(BlobNotFoundError):  # it ended, and was erased at this moment
                secret = self._read(place)
                yield Kept(place, secret, until)
                end = secret.created_at + secret.overlap
                until = end if until is None else min(until, end)

    def _read(self, place: str) -> Secret:
        try:
            return Secret.model_validate_json(self._blobs.get(place))
        except ValidationError:
            raise StoreError("the store holds no webhook secret where it should: a record is damaged") from None


def _folder(owner: str | None) -> str:
    return f"{FOLDER}/{hashlib.sha256((owner or '').encode()).hexdigest()}"
