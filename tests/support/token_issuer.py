"""An OpenID Connect issuer on loopback: it publishes its document and its keys, and signs tokens."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "metseg"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class TokenIssuer:
    """Signs with the key that `rotate` made last.

    Attributes:
        url: The `iss` of its tokens.
        asked: The paths that were asked for.
        answers: In place of the usual answer of a path: status, headers and body.
        published: The JWKs that it publishes.
    """

    def __init__(self, url: str = "https://issuer.example") -> None:
        self.url = url
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.published: list[dict[str, Any]] = []
        self.rotate("first")

    def rotate(self, kid: str, algorithm: str = "RS256") -> None:
        """Sign with a new key from now on; publish it beside the old ones."""
        key: PrivateKey
        if algorithm.startswith("ES"):
            key = ec.generate_private_key(ec.SECP256R1())
            jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            key = rsa.generate_private_key(65537, 2048)
            jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.key, self.kid, self.algorithm = key, kid, algorithm
        self.published.append(jwk | {"kid": kid, "use": "sig", "alg": algorithm})

    @property
    def public_pem(self) -> bytes:
        """The public key as everyone may have it."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def claims(self, subject: str = "anna", **other: object) -> dict[str, object]:
        """What a good token says; a claim that is given as None is left out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300}
        said = usual | {"scope": "metseg.submit metseg.read"} | other
        return {name: value for name, value in said.items() if value is not None}

    def token(self, subject: str = "anna", **other: object) -> str:
        """A token signed with the newest key."""
        return jwt.encode(self.claims(subject, **other), self.key, self.algorithm, headers={"kid": self.kid})

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What is answered to GET."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        told = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": self.published},
        }
        return (200, {}, json.dumps(told[path]).encode()) if path in told else (404, {}, b"")


@contextmanager
def published(issuer: TokenIssuer, port: int = 0) -> Iterator[None]:
    """Let the issuer answer on loopback, on a free port unless one is named; its `url` says where."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = issuer.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
