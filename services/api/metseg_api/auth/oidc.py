"""Bearer tokens of an OpenID Connect issuer: who is asking, and for what, out of a signed JWT.

The signature is checked with the issuer's public keys by an algorithm of a list (RFC 8725, section 3.1): neither
`none` nor one with a shared secret can be on it. Nothing of a token is kept or told but the owner made of it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import jwt
from pydantic import Field, ValidationInfo, field_validator

from metseg.settings import EnvSettings
from metseg_api.auth.api_keys import Scope
from metseg_api.auth.jwks import FetchedKeys, IssuerKeys, Jwk, JwksFile, is_safe_address
from metseg_api.errors import TokenRefusedError

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a public and a private key each; the settings choose among them."""
CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
"""RFC 7518, section 3.4."""
LEEWAY_S: Final = 30
"""By so much the clocks of issuer and API may differ."""
OWNER_PREFIX: Final = "oidc:"
"""No owner of an API key can have a colon in its name."""

_REASONS: Final = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidIssuedAtError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is meant for another audience.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.MissingRequiredClaimError: "The token lacks one of the claims exp, iss, aud and sub.",
}
_UNTRUE: Final = "The token is not one that the issuer signed."


class OidcSettings(EnvSettings):
    """Whose tokens are taken; none where there is no `oidc_issuer`.

    Attributes:
        oidc_issuer: The `iss` of the tokens, letter by letter, and where the issuer's document is looked for.
        oidc_audience: What must be among the `aud` of a token.
        oidc_jwks: A file with the issuer's keys; fetched from the issuer where there is none.
        oidc_algorithms: Those that count, separated by commas.
        oidc_claim: Where a token tells what it is good for; dots lead into nested claims (`realm_access.roles`).
        oidc_submit: The word in that claim that stands for the scope submit.
        oidc_read: The one for the scope read.
        oidc_admin: The one for the scope admin.
    """

    oidc_issuer: str | None = None
    oidc_audience: str | None = Field(default=None, validate_default=True)
    oidc_jwks: Path | None = None
    oidc_algorithms: tuple[str, ...] = ("RS256", "ES256")
    oidc_claim: str = Field(default="scope", max_length=200)
    oidc_submit: str = "metseg.submit"
    oidc_read: str = "metseg.read"
    oidc_admin: str = "metseg.admin"

    @field_validator("oidc_issuer")
    @classmethod
    def _is_address(cls, issuer: str | None) -> str | None:
        if issuer is not None and not is_safe_address(issuer):
            raise ValueError("expected the https address of an issuer (http on this machine alone)")
        return issuer

    @field_validator("oidc_algorithms", mode="before")
    @classmethod
    def _are_known(cls, given: object) -> object:
        chosen = [one.strip() for one in given.split(",")] if isinstance(given, str) else given
        if isinstance(chosen, list) and not set(chosen) <= set(ALGORITHMS):
            raise ValueError(f"expected some of {', '.join(ALGORITHMS)}")
        return chosen

    @field_validator("oidc_audience")
    @classmethod
    def _is_there(cls, audience: str | None, info: ValidationInfo) -> str | None:
        if audience is None and info.data.get("oidc_issuer") is not None:
            raise ValueError("expected the audience of the tokens, since METSEG_OIDC_ISSUER is set")
        return audience

    @property
    def words(self) -> Mapping[Scope, str]:
        """The word that stands for each scope; one word may stand for several."""
        return {Scope.SUBMIT: self.oidc_submit, Scope.READ: self.oidc_read, Scope.ADMIN: self.oidc_admin}


@dataclass(frozen=True)
class TokenHolder:
    """Whom a token stands for, as far as it is told to anyone.

    Attributes:
        owner: Digest of issuer and subject, under which the holder's jobs are kept.
        scopes: What the token is good for; may be empty.
    """

    owner: str
    scopes: frozenset[Scope]


class TokenReader:
    """Reads the tokens of one issuer; may be used from several threads."""

    def __init__(self, settings: OidcSettings, keys: IssuerKeys) -> None:
        """Take what must be true of a token, and the keys that may have signed it."""
        self._settings, self._keys = settings, keys

    @classmethod
    def of(cls, settings: OidcSettings) -> Self | None:
        """The reader that the environment asks for; None where no tokens are taken.

        Raises:
            SettingsError: The file of keys cannot be read.
        """
        if settings.oidc_issuer is None:
            return None
        file = settings.oidc_jwks
        return cls(settings, FetchedKeys(settings.oidc_issuer) if file is None else JwksFile(file))

    def read(self, token: str) -> TokenHolder:
        """Whom a token stands for.

        Raises:
            TokenRefusedError: It is damaged, not of this issuer, not for this audience, or its time is not now.
            IssuerUnavailableError: Its key is not known, and the issuer does not answer.
        """
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                self._key(header),
                algorithms=self._settings.oidc_algorithms,
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as exc:
            raise TokenRefusedError(_REASONS.get(type(exc), _UNTRUE)) from None
        if not claims["sub"]:
            raise TokenRefusedError("The token names no subject.")
        words = _words(claims, self._settings.oidc_claim)
        scopes = frozenset(scope for scope, word in self._settings.words.items() if word in words)
        return TokenHolder(owner_of(claims["iss"], claims["sub"]), scopes)

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """The one key that a token of this header can have been signed with."""
        algorithm = header.get("alg")
        if algorithm not in self._settings.oidc_algorithms:
            raise TokenRefusedError("The token is signed by an algorithm that does not count here.")
        fitting = [key for key in self._keys.named(header.get("kid")) if _fits(key, algorithm)]
        if len(fitting) != 1:
            raise TokenRefusedError("The token is signed with a key that the issuer does not publish.")
        return jwt.PyJWK(dict(fitting[0]), algorithm)


def owner_of(issuer: str, subject: str) -> str:
    """The owner that a subject of an issuer is here: no person can be read out of it."""
    return OWNER_PREFIX + hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:40]


def _fits(key: Jwk, algorithm: str) -> bool:
    """Whether a key is there for signatures of that algorithm (RFC 7517, section 4)."""
    kind = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}[algorithm[:2]]
    return (
        key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and key.get("crv") == CURVES.get(algorithm, key.get("crv"))
    )


def _words(claims: Mapping[str, Any], claim: str) -> set[str]:
    """The words of a claim, which is a list or a text with spaces (RFC 8693, section 4.2)."""
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for name in claim.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, str):
        return set(value.split())
    return {word for word in value if isinstance(word, str)} if isinstance(value, list) else set()
