"""What a web page could do to an API on its visitor's machine, and under which names the API answers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from redis_fixture import RedisServer

from metseg.errors import SettingsError
from metseg_api.auth.api_keys import KeyFile, Scope
from metseg_api.settings import ApiSettings

LOOPBACK = ["localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "127.0.0.2", "[::1]:{port}"]
FOREIGN = ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"]
MALFORMED = [
    "",
    "[::1",
    "localhost:x",
    "localhost@evil.example",
    "evil.example/localhost",
    "localhost, evil.example",
]
PAGES = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},  # another server of the same machine
    {"Origin": "https://{host}.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"},
]
OWN_PAGES = [{"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]
Listed = Callable[[str], AbstractContextManager[ApiService]]


@pytest.fixture
def listed(tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer) -> Listed:
    """Makes an API that wants a key, under the hosts that are listed."""

    @contextmanager
    def run(hosts: str) -> Iterator[ApiService]:
        write_cards(tmp_path / "models", {"attention_unet": [1]})
        place = {"redis_url": shared_redis.url, "serving_at": own_status_server.target}
        settings = api_settings(tmp_path, **place, allowed_hosts=hosts)
        KeyFile(settings.keys).create("first", [Scope.READ])
        with serving(settings) as running:
            yield running

    return run


def asked_as(api: ApiService, host: str) -> httpx.Response:
    return api.http.get("/v1/version", headers={"Host": host.format(port=api.settings.api_port)})


def filled(headers: dict[str, str], api: ApiService) -> dict[str, str]:
    return {name: value.format(host=api.http.base_url.netloc.decode()) for name, value in headers.items()}


@pytest.mark.parametrize("host", LOOPBACK)
def test_without_keys_a_name_of_this_machine_is_answered(api: ApiService, host: str) -> None:
    assert asked_as(api, host).status_code == 200


@pytest.mark.parametrize("host", FOREIGN + MALFORMED)
def test_without_keys_a_page_that_had_its_name_lead_here_learns_nothing(api: ApiService, host: str) -> None:
    problem(asked_as(api, host), 421, "host_refused")


@pytest.mark.parametrize("headers", PAGES)
def test_without_keys_a_foreign_page_can_neither_send_nor_cancel_nor_delete(
    api: ApiService, headers: dict[str, str]
) -> None:
    job_id = api.submitted()
    sent = filled(headers, api)
    problem(api.http.post("/v1/jobs", files={"file": ("a", b"scan")}, headers=sent), 403, "origin_refused")
    problem(api.http.post(f"/v1/jobs/{job_id}/cancel", headers=sent), 403, "origin_refused")
    problem(api.http.delete(f"/v1/jobs/{job_id}", headers=sent), 403, "origin_refused")
    assert api.http.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"
    assert len(api.jobs.ids()) == 1


@pytest.mark.parametrize("headers", OWN_PAGES)
def test_without_keys_programs_and_pages_of_the_same_origin_may(api: ApiService, headers: dict[str, str]) -> None:
    sent = filled(headers, api)
    answer = api.http.post("/v1/jobs", files={"file": ("a", b"scan")}, headers=sent)
    assert answer.status_code == 202
    assert api.http.delete(f"/v1/jobs/{answer.json()['id']}", headers=sent).status_code == 204


def test_with_keys_and_no_list_every_host_and_page_may_ask(locked: ApiService) -> None:
    with locked.as_owner("anna") as anna:
        headers = {"Host": "metseg.example", "Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        assert anna.post("/v1/jobs", files={"file": ("a", b"scan")}, headers=headers).status_code == 202


def test_with_keys_and_a_list_only_its_names_and_addresses_are_answered(listed: Listed) -> None:
    with listed("Metseg.example, api") as api:
        for host in ("metseg.example", "METSEG.EXAMPLE:443", "api:8000", "10.1.2.3:8000", *LOOPBACK):
            assert asked_as(api, host).status_code == 200
        for host in ("evil.example", "metseg.example.evil.example", "x.metseg.example", *MALFORMED):
            problem(asked_as(api, host), 421, "host_refused")


def test_a_list_of_hosts_is_one_of_names() -> None:
    with pytest.raises(SettingsError, match="METSEG_ALLOWED_HOSTS"):
        ApiSettings.from_env({"METSEG_ALLOWED_HOSTS": "https://metseg.example"})
