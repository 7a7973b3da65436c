"""Bearer tokens of an OpenID Connect issuer: only those it signed for this API, and nobody sees another's job."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from redis_fixture import RedisServer
from token_issuer import AUDIENCE, TokenIssuer

from metseg.errors import SettingsError
from metseg.logs import JsonLines
from metseg.schemas.job import new_job_id
from metseg_api.__main__ import main
from metseg_api.auth.api_keys import KeyFile, Scope
from metseg_api.auth.audit_log import AuditTrail
from metseg_api.auth.oidc import OidcSettings, TokenReader, owner_of
from metseg_api.errors import TokenRefusedError
from metseg_api.settings import ApiSettings

SCAN = {"file": ("x", b"scan bytes")}


@pytest.fixture(scope="module")
def signer() -> TokenIssuer:
    """Signs, and is not to be reached; its keys are in a file."""
    return TokenIssuer()


@pytest.fixture
def reader(signer: TokenIssuer, tmp_path: Path) -> TokenReader:
    return reader_of(signer, tmp_path)


@pytest.fixture
def taking(
    signer: TokenIssuer, tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer
) -> Iterator[ApiService]:
    """An API without keys that takes the tokens of `signer`."""
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(
        tmp_path,
        redis_url=shared_redis.url,
        serving_at=own_status_server.target,
        oidc_issuer=signer.url,
        oidc_audience=AUDIENCE,
        oidc_jwks=key_file(signer, tmp_path),
    )
    with serving(settings) as running:
        yield running


def key_file(signer: TokenIssuer, folder: Path) -> Path:
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": signer.published}))
    return path


def reader_of(signer: TokenIssuer, folder: Path, **more: str) -> TokenReader:
    given = {"oidc_issuer": signer.url, "oidc_audience": AUDIENCE, "oidc_jwks": key_file(signer, folder)}
    reader = TokenReader.of(OidcSettings.model_validate(given | more))
    assert reader is not None
    return reader


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_what_its_scopes_allow(taking: ApiService, signer: TokenIssuer) -> None:
    anna = bearer(signer.token())
    job = taking.http.post("/v1/jobs", files=SCAN, headers=anna)
    assert job.status_code == 202, job.text
    assert taking.jobs.load(job.json()["id"]).owner == owner_of(signer.url, "anna")
    assert taking.http.get(f"/v1/jobs/{job.json()['id']}", headers=anna).status_code == 200
    problem(taking.http.get("/metrics", headers=anna), 403, "scope_missing")
    problem(taking.http.get("/v1/jobs"), 401, "key_required")


def test_a_token_without_scopes_is_good_for_no_job(taking: ApiService, signer: TokenIssuer) -> None:
    for scope in ("", None, "metseg.submitter openid", ["other"], 7, {"metseg.read": True}):
        headers = bearer(signer.token(scope=scope))
        problem(taking.http.get("/v1/jobs", headers=headers), 403, "scope_missing")
        problem(taking.http.post("/v1/jobs", files=SCAN, headers=headers), 403, "scope_missing")
    assert taking.jobs.ids() == []


def test_two_subjects_do_not_see_each_others_jobs(taking: ApiService, signer: TokenIssuer) -> None:
    anna, bert = bearer(signer.token("anna")), bearer(signer.token("bert"))
    job_id = taking.http.post("/v1/jobs", files=SCAN, headers=anna).json()["id"]
    hidden, nothing = (taking.http.get(f"/v1/jobs/{one}", headers=bert) for one in (job_id, new_job_id()))
    said = problem(hidden, 404, "job_not_found")
    assert said | {"instance": ""} == nothing.json() | {"instance": ""}
    assert taking.http.get("/v1/jobs", headers=bert).json()["items"] == []
    chief = bearer(signer.token("chief", scope="metseg.admin"))
    assert [job["id"] for job in taking.http.get("/v1/jobs", headers=chief).json()["items"]] == [job_id]


def test_a_key_and_a_token_of_one_name_are_two_owners(taking: ApiService, signer: TokenIssuer) -> None:
    job_id = taking.http.post("/v1/jobs", files=SCAN, headers=bearer(signer.token("anna"))).json()["id"]
    for name in ("anna", owner_of(signer.url, "anna").replace(":", "-")):
        with taking.as_owner(name) as key:
            problem(key.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")
            assert key.get("/v1/jobs").status_code == 200


def test_nothing_of_a_token_is_written_but_its_owner(
    taking: ApiService, signer: TokenIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = signer.token("anna.patient@example.org", name="Doe^John")
    job_id = taking.http.post("/v1/jobs", files=SCAN, headers=bearer(token)).json()["id"]
    answer = taking.http.get("/v1/jobs", headers=bearer(token[:-9] + "AAAAAAAAA"))
    problem(answer, 401, "token_refused")
    ours = [record for record in caplog.records if record.name.startswith(("metseg", "uvicorn"))]
    written = [JsonLines().format(record) for record in ours] + [answer.text]
    written += [path.read_text() for path in taking.store.rglob("*.json")]
    signed = token.split(".")
    assert not [text for text in written if any(part in text for part in (*signed, "patient@", "Doe"))]
    owner = owner_of(signer.url, "anna.patient@example.org")
    assert [entry.deed.owner for entry in AuditTrail(taking.jobs.blobs).entries()] == [owner]
    assert any(json.loads(line).get("key_id") == owner for line in written[: len(ours)])
    assert taking.jobs.load(job_id).owner == owner


def test_the_operator_can_tell_whose_an_owner_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METSEG_OIDC_ISSUER", "https://issuer.example")
    monkeypatch.setenv("METSEG_OIDC_AUDIENCE", AUDIENCE)
    main(["owner", "anna"])
    assert capsys.readouterr().out.strip() == owner_of("https://issuer.example", "anna")
    monkeypatch.delenv("METSEG_OIDC_ISSUER")
    with pytest.raises(SystemExit, match="METSEG_OIDC_ISSUER"):
        main(["owner", "anna"])


BAD_CLAIMS = {
    "another audience": {"aud": "another"},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://other.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": 1_000},
    "no end": {"exp": None},
    "not yet valid": {"nbf": 32_503_680_000},
    "made in the future": {"iat": 32_503_680_000},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is no text": {"sub": 7},
}


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_a_token_that_does_not_fit_is_refused(
    reader: TokenReader, signer: TokenIssuer, claims: dict[str, object]
) -> None:
    assert reader.read(signer.token()).owner == owner_of(signer.url, "anna")
    with pytest.raises(TokenRefusedError):
        reader.read(signer.token(**claims))


def test_clocks_may_differ_by_half_a_minute(reader: TokenReader, signer: TokenIssuer) -> None:
    now = int(time.time())
    assert reader.read(signer.token(exp=now - 15, iat=now + 15, nbf=now + 15))
    for late in ({"exp": now - 45}, {"nbf": now + 45}, {"iat": now + 45}):
        with pytest.raises(TokenRefusedError):
            reader.read(signer.token(**late))


def forged(signer: TokenIssuer) -> Iterator[str]:
    """Tokens that say what a good one says, and that the issuer did not sign."""
    claims, kid = signer.claims(), {"kid": signer.kid}
    yield jwt.encode(claims, "", "none", headers=kid)
    yield jwt.encode(claims, "", "none", headers=kid).rstrip(".")
    shared = jwt.PyJWS()
    body = json.dumps(claims).encode()
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    hmac.prepare_key = lambda key: key  # type: ignore[method-assign]  # which refuses a public key, as it should
    shared.unregister_algorithm("HS256")
    shared.register_algorithm("HS256", hmac)
    yield shared.encode(body, signer.public_pem, "HS256", headers=kid)
    stranger = TokenIssuer()
    yield jwt.encode(claims, stranger.key, "RS256", headers=kid)
    yield jwt.encode(claims, stranger.key, "RS256", headers=kid | {"jwk": stranger.published[0]})
    yield jwt.encode(claims, signer.key, "RS512", headers=kid)
    yield jwt.encode(claims, signer.key, "RS256", headers={"kid": "unknown"})
    head, _, signature = signer.token().split(".")
    yield f"{head}.{signer.token('bert').split('.')[1]}.{signature}"
    yield "a.b.c"
    yield head


def test_a_token_that_the_issuer_did_not_sign_is_refused(reader: TokenReader, signer: TokenIssuer) -> None:
    tokens = list(forged(signer))
    assert len(tokens) == 10
    for token in tokens:
        with pytest.raises(TokenRefusedError):
            reader.read(token)


@pytest.mark.parametrize("change", [{"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "AAAA"}])
def test_a_key_for_something_else_signs_no_token(tmp_path: Path, change: dict[str, str]) -> None:
    signer = TokenIssuer()
    signer.published[0] |= change
    with pytest.raises(TokenRefusedError):
        reader_of(signer, tmp_path).read(signer.token())


def test_an_elliptic_key_signs_too_and_a_token_need_not_name_the_only_key(tmp_path: Path) -> None:
    signer = TokenIssuer()
    signer.rotate("second", "ES256")
    reader = reader_of(signer, tmp_path)
    assert reader.read(signer.token()).scopes == {Scope.SUBMIT, Scope.READ}
    assert reader.read(jwt.encode(signer.claims(), signer.key, "ES256"))
    with pytest.raises(TokenRefusedError):
        reader_of(signer, tmp_path, oidc_algorithms="RS256").read(signer.token())


def test_roles_may_lie_deep_in_a_token_and_have_other_names(signer: TokenIssuer, tmp_path: Path) -> None:
    names = {"oidc_submit": "radiology", "oidc_read": "radiology", "oidc_admin": "physics"}
    deep = reader_of(signer, tmp_path, oidc_claim="realm_access.roles", **names)
    said = signer.token(realm_access={"roles": ["radiology", 7]}, scope="physics")
    assert deep.read(said).scopes == {Scope.SUBMIT, Scope.READ}
    flat = reader_of(signer, tmp_path, oidc_claim="https://metseg.example/roles", **names)
    assert flat.read(signer.token(**{"https://metseg.example/roles": ["physics"]})).scopes == {Scope.ADMIN}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"METSEG_OIDC_AUDIENCE": ""}, "METSEG_OIDC_AUDIENCE"),
        ({"METSEG_OIDC_ISSUER": "http://issuer.example"}, "METSEG_OIDC_ISSUER"),
        ({"METSEG_OIDC_ISSUER": "https://user@issuer.example"}, "METSEG_OIDC_ISSUER"),
        ({"METSEG_OIDC_ISSUER": "file:///etc/passwd"}, "METSEG_OIDC_ISSUER"),
        ({"METSEG_OIDC_ALGORITHMS": "RS256,none"}, "METSEG_OIDC_ALGORITHMS"),
        ({"METSEG_OIDC_ALGORITHMS": "HS256"}, "METSEG_OIDC_ALGORITHMS"),
        ({"METSEG_OIDC_JWKS": "missing.json"}, "METSEG_OIDC_JWKS"),
    ],
)
def test_settings_that_make_no_sense_stop_the_start(wrong: dict[str, str], named: str) -> None:
    good = {"METSEG_OIDC_ISSUER": "https://issuer.example", "METSEG_OIDC_AUDIENCE": AUDIENCE}
    assert TokenReader.of(ApiSettings.from_env(good)) is not None
    with pytest.raises(SettingsError, match=named):
        TokenReader.of(ApiSettings.from_env(good | wrong))


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": 1}'])
def test_a_damaged_file_of_keys_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(content)
    given = {"oidc_issuer": "https://issuer.example", "oidc_audience": AUDIENCE, "oidc_jwks": path}
    with pytest.raises(SettingsError, match="METSEG_OIDC_JWKS"):
        TokenReader.of(OidcSettings.model_validate(given))


def test_an_issuer_is_reason_enough_to_listen_elsewhere(tmp_path: Path) -> None:
    given = {"METSEG_HOST": "0.0.0.0", "METSEG_KEYS": str(tmp_path / "keys.json")}
    with pytest.raises(SettingsError, match="METSEG_HOST"):
        ApiSettings.from_env(given).key_file()
    issuer = {"METSEG_OIDC_ISSUER": "https://issuer.example", "METSEG_OIDC_AUDIENCE": AUDIENCE}
    assert isinstance(ApiSettings.from_env(given | issuer).key_file(), KeyFile)
