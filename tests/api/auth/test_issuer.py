"""The keys of an issuer that is asked over HTTP: rotated, withdrawn, away, or not to be trusted."""

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from redis_fixture import RedisServer
from token_issuer import AUDIENCE, TokenIssuer, published

from metseg_api.auth.jwks import FETCH_EVERY_S, FRESH_S, KEPT_S, FetchedKeys, is_safe_address
from metseg_api.auth.oidc import OidcSettings, TokenReader
from metseg_api.errors import IssuerUnavailableError, TokenRefusedError

DISCOVERY = "/.well-known/openid-configuration"


class Clock:
    """Time as the tests want it, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("metseg_api.auth.jwks.time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    issuer = TokenIssuer()
    with published(issuer):
        yield issuer


def reader_of(issuer: TokenIssuer) -> TokenReader:
    reader = TokenReader.of(OidcSettings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE))
    assert reader is not None
    return reader


def test_keys_are_found_through_the_issuers_document_and_kept(issuer: TokenIssuer) -> None:
    reader = reader_of(issuer)
    assert issuer.asked == []
    for subject in ("anna", "bert", "anna"):
        assert reader.read(issuer.token(subject))
    assert issuer.asked == [DISCOVERY, "/keys"]


def test_a_rotated_key_is_fetched_when_a_token_names_it(issuer: TokenIssuer, clock: Clock) -> None:
    reader = reader_of(issuer)
    old = issuer.token()
    assert reader.read(old)
    issuer.rotate("second")
    clock.now += FETCH_EVERY_S
    assert reader.read(issuer.token())
    assert reader.read(old)
    assert issuer.asked == [DISCOVERY, "/keys"] * 2


def test_tokens_with_made_up_keys_do_not_make_the_issuer_busy(issuer: TokenIssuer, clock: Clock) -> None:
    reader = reader_of(issuer)
    assert reader.read(issuer.token())
    known = issuer.kid
    for second in range(25):
        clock.now += 1
        issuer.kid = f"made up {second}"
        with pytest.raises(TokenRefusedError):
            reader.read(issuer.token())
    issuer.kid = known
    assert reader.read(issuer.token())
    assert len(issuer.asked) == 2 * 3


def test_a_key_that_the_issuer_withdrew_counts_no_more(issuer: TokenIssuer, clock: Clock) -> None:
    reader = reader_of(issuer)
    withdrawn = issuer.token()
    assert reader.read(withdrawn)
    issuer.published.clear()
    issuer.rotate("second")
    clock.now += FRESH_S
    with pytest.raises(TokenRefusedError):
        reader.read(withdrawn)


def test_while_the_issuer_is_away_known_keys_go_on_for_a_day(clock: Clock) -> None:
    issuer = TokenIssuer()
    with published(issuer):
        reader = reader_of(issuer)
        known = issuer.token()
        assert reader.read(known)
    issuer.rotate("second")
    clock.now += FRESH_S
    assert reader.read(known)
    with pytest.raises(IssuerUnavailableError):
        reader.read(issuer.token())
    port = int(issuer.url.rpartition(":")[2])
    with published(issuer, port):
        clock.now += FETCH_EVERY_S
        assert reader.read(issuer.token())
    clock.now += KEPT_S
    with pytest.raises(IssuerUnavailableError):
        reader.read(known)


def test_on_the_wire_an_issuer_that_is_away_is_503_and_a_good_token_opens(
    issuer: TokenIssuer, tmp_path, shared_redis: RedisServer, own_status_server: StatusServer
) -> None:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(
        tmp_path,
        redis_url=shared_redis.url,
        serving_at=own_status_server.target,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
    )
    with serving(settings) as api:
        assert asked(api, issuer.token()).status_code == 200
        refusal = asked(api, issuer.token(aud="another"))
        problem(refusal, 401, "token_refused")
        assert refusal.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    issuer.answers["/keys"] = 500, {}, b"Doe^John"
    with serving(settings) as api:
        answer = asked(api, issuer.token())
        said = problem(answer, 503, "issuer_unavailable")
        assert answer.headers["retry-after"] == "10"
        assert "Doe" not in str(said)


def asked(api: ApiService, token: str):
    return api.http.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (DISCOVERY, (404, {}, b"")),
        (DISCOVERY, (200, {}, b"<html>")),
        (DISCOVERY, (200, {}, b"[]")),
        (DISCOVERY, (200, {}, b'{"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}')),
        (DISCOVERY, (302, {"Location": "/elsewhere"}, b"")),
        ("/keys", (302, {"Location": "/elsewhere"}, b"")),
        ("/keys", (200, {}, b"\xff\xfe")),
        ("/keys", (200, {}, b" " * (2 << 20))),
    ],
)
def test_what_is_no_answer_of_the_issuer_is_none(
    issuer: TokenIssuer, path: str, answer: tuple[int, dict[str, str], bytes]
) -> None:
    issuer.answers["/elsewhere"] = 200, {}, json.dumps({"keys": issuer.published}).encode()
    issuer.answers[path] = answer
    with pytest.raises(IssuerUnavailableError):
        reader_of(issuer).read(issuer.token())
    assert "/elsewhere" not in issuer.asked


@pytest.mark.parametrize("address", ["http://other.example/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys", 7])
def test_keys_are_taken_from_no_unsafe_address(address: object) -> None:
    asked: list[str] = []

    def fetch(url: str) -> object:
        asked.append(url)
        return {"issuer": "https://issuer.example", "jwks_uri": address, "keys": []}

    with pytest.raises(IssuerUnavailableError):
        FetchedKeys("https://issuer.example", fetch).named("first")
    assert asked == ["https://issuer.example" + DISCOVERY]


@pytest.mark.parametrize(
    ("address", "is_safe"),
    [
        ("https://issuer.example/realms/a", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]/", True),
        ("http://localhost", True),
        ("http://127.0.0.1.example", False),
        ("https://", False),
        ("https://a:b@issuer.example", False),
        ("https://issuer.example/?a", False),
        ("http://[", False),
    ],
)
def test_an_address_is_safe_by_tls_or_by_being_this_machine(address: str, is_safe: bool) -> None:
    assert is_safe_address(address) is is_safe
