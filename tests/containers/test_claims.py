"""What the deployment promises about its containers, asked inside each of them."""

import json
import subprocess

import pytest
from deployment import SERVICES, Deployment

from deploy.local.settings import ROOT
from metseg_worker.sandbox import landlock

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

OUTSIDE = "192.0.2.1"  # RFC 5737: nobody's address
CONNECT = f"import socket; socket.create_connection(('{OUTSIDE}', 443), timeout=3)"
RESOLVE = "import socket, sys; socket.gethostbyname(sys.argv[1])"
NAMES = {"api": "redis serving worker ui", "worker": "redis serving api", "ui": "api"}
"""Whom a service can find, and no one else: those on a network of its own."""
BASE_MB = 195
"""What a slim image of Python has, as the local engine makes it; a public one has less."""
LARGEST_MB = {"api": 250, "worker": 700, "ui": 700}
"""What an image may add to its base."""


def status(deployment: Deployment, service: str) -> dict[str, str]:
    """The kernel's own words about the service's first process."""
    lines = deployment.run_in(deployment.containers(service)[0], "cat", "/proc/1/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_root_and_without_any_privilege(service: str, deployment: Deployment) -> None:
    told = status(deployment, service)
    assert set(told["Uid"].split()) == {"999" if service == "redis" else "10001"}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(told[kind], 16) == 0
    assert told["NoNewPrivs"] == "1"
    assert told["Seccomp"] == "2"  # a filter is on


def test_a_process_that_reads_files_is_confined_as_far_as_the_kernel_allows(deployment: Deployment) -> None:
    ask = "import json; from metseg_worker.sandbox.restrictions import missing; print(json.dumps(missing()))"
    told = deployment.run_in(deployment.containers("worker")[0], "python", "-c", ask)
    assert json.loads(told) == ([] if landlock.version() else ["Landlock"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_cannot_write_its_own_image(service: str, deployment: Deployment) -> None:
    container = deployment.containers(service)[0]
    assert deployment.run_in(container, "sh", "-c", "touch /usr/x 2>&1 || true").endswith(
        "Read-only file system\n"
    )
    assert deployment.inspect(container)["HostConfig"]["ReadonlyRootfs"]


@pytest.mark.parametrize("service", ["serving", "api", "worker"])
def test_models_are_there_to_be_read_only(service: str, deployment: Deployment) -> None:
    container = deployment.containers(service)[0]
    told = deployment.run_in(container, "sh", "-c", "ls /models && touch /models/x 2>&1 || true")
    assert "attention_unet" in told
    assert told.endswith("Read-only file system\n")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_limits(service: str, deployment: Deployment) -> None:
    limits = deployment.inspect(deployment.containers(service)[0])["HostConfig"]
    assert all(limits[name] > 0 for name in ("Memory", "NanoCpus", "PidsLimit"))


@pytest.mark.parametrize("service", ["api", "worker", "ui"])
def test_tensorflow_is_in_no_image_that_needs_none(service: str, deployment: Deployment) -> None:
    find = "from importlib.util import find_spec; print([n for n in ('tensorflow', 'keras') if find_spec(n)])"
    assert deployment.run_in(deployment.containers(service)[0], "python", "-c", find) == "[]\n"


@pytest.mark.parametrize("service", LARGEST_MB)
def test_an_image_is_small(service: str, deployment: Deployment) -> None:
    image = deployment.inspect(deployment.containers(service)[0])["Image"]
    added_mb = deployment.inspect(image)["Size"] / 1e6 - BASE_MB
    assert added_mb <= LARGEST_MB[service]


@pytest.mark.parametrize("service", ["redis", "serving", "worker"])
def test_a_service_behind_has_no_way_out(service: str, deployment: Deployment) -> None:
    routes = deployment.run_in(deployment.containers(service)[0], "cat", "/proc/net/route").splitlines()[1:]
    assert routes
    assert all(route.split()[1] != "00000000" for route in routes)  # none is the default one


def test_the_worker_cannot_reach_the_world(deployment: Deployment) -> None:
    worker = deployment.containers("worker")[0]
    told = deployment.run_in(worker, "sh", "-c", f'python -c "{CONNECT}" 2>&1 || true')
    assert "Network is unreachable" in told


@pytest.mark.parametrize("service", NAMES)
def test_a_service_finds_those_it_needs_and_no_others(service: str, deployment: Deployment) -> None:
    container = deployment.containers(service)[0]
    each = "for name in redis serving api worker ui"
    ask = f'{each}; do python -c "{RESOLVE}" $name 2>/dev/null && echo $name; done; true'
    assert set(deployment.run_in(container, "sh", "-c", ask).split()) - {service} == set(NAMES[service].split())


def test_only_gateway_and_page_are_published_and_on_loopback_alone(deployment: Deployment) -> None:
    published = {}
    for service in SERVICES:
        ports = deployment.inspect(deployment.containers(service)[0])["NetworkSettings"]["Ports"]
        found = [binding["HostIp"] for bindings in ports.values() for binding in bindings or []]
        if found:
            published[service] = found
    assert published == {"api": ["127.0.0.1"], "ui": ["127.0.0.1"]}


def test_no_secret_stands_in_an_environment_or_an_image(deployment: Deployment, api_key: str) -> None:
    key = deployment.run_in(deployment.containers("ui")[0], "cat", "/run/secrets/metseg/key").strip()
    assert key.startswith("metseg_")
    everything = json.dumps([deployment.inspect(deployment.containers(service)[0]) for service in SERVICES])
    for secret in (key, api_key):
        assert secret not in everything
    assert secret_free(deployment.run_in(deployment.containers("api")[0], "cat", "/keys/keys.json"), key, api_key)


def secret_free(text: str, *secrets: str) -> bool:
    """Whether none of these stands in a text that is there."""
    return bool(text) and not any(secret in text for secret in secrets)


def test_each_image_has_a_list_of_what_is_in_it(deployment: Deployment) -> None:
    subprocess.run([ROOT / "deploy" / "compose" / "sbom.sh"], env=deployment.environ, check=True)
    listed = {
        image: {
            one["name"]
            for one in json.loads((ROOT / "sbom" / f"metseg-{image}.cdx.json").read_text())["components"]
        }
        for image in ("api", "worker", "ui", "trainer")
    }
    assert {"fastapi", "redis"} <= listed["api"]
    assert "streamlit" in listed["ui"]
    assert {image for image, names in listed.items() if "tensorflow" in names} == {"trainer"}
