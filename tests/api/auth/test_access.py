"""API keys: every request must authenticate, and nobody sees another's job."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from api_service import ApiService, problem
from following import end

from metseg.errors import RequestError, SettingsError
from metseg.logs import JsonLines
from metseg.schemas.job import new_job_id
from metseg_api.access import open_key_file
from metseg_api.auth.api_keys import KeyFile, Scope
from metseg_api.backends import Backends
from metseg_api.settings import ApiSettings

SCAN = {"file": ("x", b"scan bytes")}
OPEN = ["/healthz", "/readyz", "/v1/version", "/v1/openapi.json"]
OF_A_JOB = [
    ("GET", ""),
    ("GET", "/events"),
    ("GET", "/result"),
    ("GET", "/result/mask.nii.gz"),
    ("HEAD", "/result/mask.nii.gz"),
    ("POST", "/cancel"),
    ("DELETE", ""),
]


def sent(client: httpx.Client, **headers: str) -> str:
    answer = client.post("/v1/jobs", files=SCAN, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def test_without_a_key_only_what_says_nothing_of_jobs_is_answered(locked: ApiService, anna: httpx.Client) -> None:
    job = f"/v1/jobs/{sent(anna)}"
    asked = [("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/v1/models")]
    asked += [(method, job + tail) for method, tail in OF_A_JOB if method != "HEAD"]
    for method, path in asked:
        answer = locked.http.request(method, path)
        problem(answer, 401, "key_required")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert {locked.http.get(path).status_code for path in OPEN} == {200}


@pytest.mark.parametrize(
    "sent_key",
    [
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        "Bearer metseg_00000000_" + "a" * 43,
        "metseg_x",
        "Bearer metseg_" + "a" * 9000,
    ],
)
def test_what_is_no_key_opens_nothing(locked: ApiService, sent_key: str) -> None:
    answer = locked.http.get("/v1/jobs", headers={"Authorization": sent_key})
    problem(answer, 401, "key_required")
    assert "aaaa" not in answer.text


def test_a_key_with_one_letter_changed_opens_nothing(locked: ApiService, anna: httpx.Client) -> None:
    key = anna.headers["authorization"]
    changed = key[:-1] + ("A" if key[-1] != "A" else "B")
    problem(locked.http.get("/v1/jobs", headers={"Authorization": changed}), 401, "key_required")


def test_an_upload_without_a_key_is_refused_before_it_is_read(locked: ApiService) -> None:
    problem(locked.submit(bytes(1 << 20)), 401, "key_required")
    assert locked.stored() == []


def test_a_job_belongs_to_the_owner_of_the_key(locked: ApiService, anna: httpx.Client) -> None:
    job_id = sent(anna)
    assert locked.jobs.load(job_id).owner == "anna"
    with locked.as_owner("anna", Scope.READ) as another_key:
        assert another_key.get(f"/v1/jobs/{job_id}").status_code == 200


@pytest.mark.parametrize(("method", "tail"), OF_A_JOB)
def test_anothers_job_is_answered_just_like_none(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client, method: str, tail: str
) -> None:
    job_id = sent(anna)
    end(locked, job_id)
    answers = [bert.request(method, f"/v1/jobs/{one}{tail}") for one in (job_id, new_job_id())]
    assert [answer.status_code for answer in answers] == [404, 404]
    if method != "HEAD":
        said, nothing = (problem(answer, 404, "job_not_found") for answer in answers)
        assert said | {"instance": ""} == nothing | {"instance": ""}
    assert anna.get(f"/v1/jobs/{job_id}").status_code == 200


def test_a_deleted_job_is_gone_for_its_owner_and_never_was_for_others(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client
) -> None:
    job_id = sent(anna)
    locked.jobs.erase(job_id)  # by another process, so that nothing of it is remembered here
    problem(anna.get(f"/v1/jobs/{job_id}"), 410, "job_gone")
    problem(bert.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")


def test_a_list_holds_ones_own_jobs_page_by_page(
    locked: ApiService, anna: httpx.Client, bert: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg_api.use_cases.list_jobs.LOOKED_AT_ONCE", 2)
    owners = [anna, bert, bert, bert, anna, bert, anna]
    ids = [(owner, sent(owner)) for owner in owners]
    hers = [job_id for owner, job_id in reversed(ids) if owner is anna]
    seen, path = [], "/v1/jobs?limit=2"
    while path:
        page = anna.get(path).json()
        seen += [job["id"] for job in page["items"]]
        path = page["links"].get("next", "")
    assert seen == hers
    with locked.as_owner("chief", Scope.ADMIN) as chief:
        assert len(chief.get("/v1/jobs").json()["items"]) == len(ids)


def test_two_owners_may_use_the_same_idempotency_key(anna: httpx.Client, bert: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    first, other = sent(anna, **key), sent(bert, **key)
    assert first != other
    assert sent(anna, **key) == first


def test_a_key_is_good_for_its_scopes_alone(locked: ApiService, anna: httpx.Client) -> None:
    job = f"/v1/jobs/{sent(anna)}"
    with locked.as_owner("anna", Scope.READ) as reading, locked.as_owner("anna", Scope.SUBMIT) as sending:
        for method, path in [("POST", "/v1/jobs"), ("POST", f"{job}/cancel"), ("DELETE", job)]:
            said = problem(reading.request(method, path), 403, "scope_missing")
            assert "submit" in str(said["detail"])
        for path in ["/v1/jobs", job, f"{job}/events", f"{job}/result"]:
            problem(sending.get(path), 403, "scope_missing")
        assert reading.get(job).status_code == 200
        assert sending.post(f"{job}/cancel").status_code == 202


def test_an_administrator_sees_and_ends_everyones_jobs(locked: ApiService, anna: httpx.Client) -> None:
    job = f"/v1/jobs/{sent(anna)}"
    with locked.as_owner("chief", Scope.ADMIN) as chief:
        assert chief.get(job).status_code == 200
        assert chief.delete(job).status_code == 204


def test_a_revoked_key_is_refused_at_once(locked: ApiService, anna: httpx.Client) -> None:
    assert anna.get("/v1/jobs").status_code == 200
    keys = KeyFile(locked.settings.keys)
    keys.revoke(keys.keys()[-1].id)
    problem(anna.get("/v1/jobs"), 401, "key_required")


def test_the_log_names_the_keys_id_and_never_the_key(
    locked: ApiService, anna: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    anna.get("/v1/jobs")
    anna.get("/healthz")
    lines = [
        JsonLines().format(record) for record in caplog.records if record.name.startswith(("metseg", "uvicorn"))
    ]
    secret = anna.headers["authorization"].split("_", 2)[2]
    assert not any(secret in line for line in lines)
    key_id = KeyFile(locked.settings.keys).keys()[-1].id
    assert any(json.loads(line).get("key_id") == key_id for line in lines)


def test_the_file_holds_digests_for_its_owners_eyes_only(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "deep" / "keys.json")
    key, shown = keys.create("anna", [Scope.READ])
    assert shown.split("_", 2)[2] not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in keys.path.parent.iterdir()) == [".keys.json.lock", "keys.json"]
    assert KeyFile(keys.path).find(shown) == key
    keys.revoke(key.id)
    assert KeyFile(keys.path).find(shown) is None
    with pytest.raises(RequestError):
        keys.revoke(key.id)
    with pytest.raises(RequestError):
        keys.revoke("00000000")


def test_of_many_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = [KeyFile(path).create("old", [Scope.READ])[0].id for _ in range(4)]

    def change(number: int) -> None:
        KeyFile(path).create(f"owner{number}", [Scope.READ])
        KeyFile(path).revoke(old[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(4)))
    keys = KeyFile(path).keys()
    assert sorted(key.owner for key in keys) == ["old"] * 4 + [f"owner{number}" for number in range(4)]
    assert {key.id for key in keys if key.revoked_at} == set(old)


@pytest.mark.parametrize("owner", ["", "Anna", "a b", "../x", "a" * 65, "anna\n"])
def test_an_owner_has_a_plain_name(tmp_path: Path, owner: str) -> None:
    with pytest.raises(RequestError):
        KeyFile(tmp_path / "keys.json").create(owner, [Scope.READ])


@pytest.mark.parametrize("content", ["{", "[1]", '[{"id": "x"}]'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    settings = ApiSettings.from_env({"METSEG_KEYS": str(tmp_path / "keys.json")})
    with pytest.raises(SettingsError, match="METSEG_KEYS"):
        settings.key_file()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "metseg.example"])
def test_beyond_this_machine_it_wants_a_key(tmp_path: Path, host: str) -> None:
    settings = ApiSettings.from_env({"METSEG_HOST": host, "METSEG_KEYS": str(tmp_path / "keys.json")})
    with pytest.raises(SettingsError, match="METSEG_HOST"):
        settings.key_file()
    KeyFile(settings.keys).create("anna", [Scope.READ])
    assert settings.key_file() is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_this_machine_alone_it_may_do_without(tmp_path: Path, host: str) -> None:
    settings = ApiSettings.from_env({"METSEG_HOST": host, "METSEG_KEYS": str(tmp_path / "keys.json")})
    assert settings.key_file() is None


def settings_in(folder: Path, **more: str) -> ApiSettings:
    return ApiSettings.from_env({"METSEG_STORE": str(folder / "store"), **more})


def test_the_key_file_lies_beside_the_store(tmp_path: Path) -> None:
    assert settings_in(tmp_path).keys == tmp_path / "keys.json"
    assert ApiSettings.from_env({}).keys == Path("keys.json")
    assert ApiSettings.from_env({"METSEG_STORE": "s3://bucket/prefix"}).keys == Path("keys.json")
    assert settings_in(tmp_path, METSEG_KEYS="/elsewhere").keys == Path("/elsewhere")


@pytest.mark.parametrize("state", ["there", "deleted"])
def test_a_store_of_owners_is_not_opened_by_a_missing_key_file(
    tmp_path: Path, locked: ApiService, anna: httpx.Client, state: str
) -> None:
    job_id = anna.post("/v1/jobs", files={"file": ("a", b"scan")}).json()["id"]
    if state == "deleted":
        assert anna.delete(f"/v1/jobs/{job_id}").status_code == 204
    locked.settings.keys.unlink()
    closed = settings_in(tmp_path)
    with pytest.raises(SettingsError, match="METSEG_KEYS.*METSEG_OPEN=1"):
        open_key_file(closed, locked.jobs)
    with pytest.raises(SettingsError, match="METSEG_KEYS"):
        Backends.open(closed)
    assert open_key_file(settings_in(tmp_path, METSEG_OPEN="1"), locked.jobs) is None
    issuer = {"METSEG_OIDC_ISSUER": "https://issuer.example", "METSEG_OIDC_AUDIENCE": "metseg"}
    assert open_key_file(settings_in(tmp_path, **issuer), locked.jobs) is not None
    KeyFile(closed.keys).create("anna", [Scope.READ])
    assert open_key_file(closed, locked.jobs) is not None


def test_a_store_without_owners_may_be_open(tmp_path: Path, own_api: ApiService) -> None:
    own_api.submitted()
    damaged = own_api.submitted()
    (own_api.store / "jobs" / damaged / "job.json").write_text("{")
    assert open_key_file(settings_in(tmp_path), own_api.jobs) is None


def test_open_beyond_this_machine_is_refused_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="METSEG_HOST"):
        settings_in(tmp_path, METSEG_OPEN="1", METSEG_HOST="0.0.0.0").key_file()
