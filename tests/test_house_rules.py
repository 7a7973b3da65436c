"""Rules about the code base that no linter knows."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from metseg.settings import EnvSettings

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "metseg": ROOT / "shared",
    "metseg_client": ROOT / "client",
    "metseg_api": ROOT / "services" / "api",
    "metseg_worker": ROOT / "services" / "worker",
    "metseg_ui": ROOT / "services" / "ui",
    "metseg_trainer": ROOT / "services" / "trainer",
    "metseg_serving": ROOT / "services" / "serving",
}
MAX_MODULE_LINES = 300
FOUND_BY_NAME = {
    "nilearn",  # its template is read as a file
    "fastapi-swagger",  # its copy of Swagger UI is read as files
    # pydicom asks who can decode
    *("pyjpegls", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle"),
}

IMPORT_ALL = """
import importlib, json, pkgutil, sys
packages, absent = map(json.loads, sys.argv[1:])
sys.modules.update(dict.fromkeys(absent))
def names(package):
    yield package
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        yield found.name
for package in packages:
    for name in names(package):
        importlib.import_module(name)
sys.stdout.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by_importing(*packages: str, absent: Iterable[str] = ()) -> set[str]:
    """The top-level modules that a fresh interpreter holds after importing every module of `packages`.

    To that interpreter, those that are `absent` are not installed.
    """
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(packages), json.dumps(sorted(absent))]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def project_files() -> list[Path]:
    """Every file that belongs to the repository or is about to."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip("this is no git checkout, so its files cannot be listed")
    return [ROOT / name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]


def modules(package: str) -> list[Path]:
    """The hand-written modules of a package."""
    found = (PACKAGES[package] / package).rglob("*.py")
    return [path for path in found if not path.stem.endswith("_pb2")]


def imported_names(package: str) -> set[str]:
    """Top-level names that a package imports anywhere, lazily or not."""
    names: set[str] = set()
    for module in modules(package):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {package}


def normalised(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[._-]+", "-", name[0]).lower()


def declared(package: str, *, extras: bool) -> set[str]:
    project = tomllib.loads((PACKAGES[package] / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    if extras:
        requirements += [item for group in project.get("optional-dependencies", {}).values() for item in group]
    return {normalised(requirement) for requirement in requirements}


def installed_with(package: str) -> set[str]:
    """What installing a package of ours brings along, itself included."""
    installed = {normalised(one.name) for one in distributions()}
    found: set[tuple[str, frozenset[str]]] = set()
    to_see = [(normalised(package), frozenset[str]())]
    while to_see:
        seen = to_see.pop()
        if seen in found or seen[0] not in installed:
            continue
        found.add(seen)
        for requirement in map(Requirement, requires(seen[0]) or []):
            marker, chosen = requirement.marker, ("", *seen[1])
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in chosen):
                to_see.append((normalised(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found}


def settings_classes() -> Iterator[type[EnvSettings]]:
    """Every class that reads variables of the environment."""
    places = [
        f"{package}.settings" for package in PACKAGES if (PACKAGES[package] / package / "settings.py").is_file()
    ]
    for place in [*places, "deploy.local.settings"]:
        for value in vars(importlib.import_module(place)).values():
            if isinstance(value, type) and issubclass(value, EnvSettings) and value is not EnvSettings:
                yield value


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_three_hundred_lines(package: str) -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(package)}
    assert {name: count for name, count in lengths.items() if count > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("package", ["metseg", "metseg_api", "metseg_client", "metseg_ui", "metseg_worker"])
def test_importing_every_module_loads_no_tensorflow(package: str) -> None:
    assert loaded_by_importing(package) & {"tensorflow", "keras", "tensorflow_serving"} == set()


def test_the_page_needs_neither_redis_nor_grpc() -> None:
    assert loaded_by_importing("metseg_ui", "metseg_client") & {"redis", "rq", "grpc"} == set()


@pytest.mark.parametrize("package", sorted(PACKAGES.keys() - {"metseg"}))
def test_a_package_needs_nothing_that_is_not_installed_with_it(package: str) -> None:
    there = installed_with(package)
    names = packages_distributions() | {ours: [ours] for ours in PACKAGES}
    absent = {name for name, several in names.items() if not there.intersection(map(normalised, several))}
    assert package in loaded_by_importing(package, absent=absent)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_what_it_declares(package: str) -> None:
    distributions = packages_distributions() | {ours: [ours] for ours in PACKAGES}
    # A name such as `google` may be filled by several distributions, of which one must be declared.
    imported = [set(map(normalised, distributions.get(name, []))) for name in imported_names(package)]
    wanted = declared(package, extras=True)
    assert [several for several in imported if several and not several & wanted] == [], "imported, not declared"
    assert wanted.difference(*imported) - FOUND_BY_NAME == set(), "declared, not imported"


def test_everything_that_is_declared_is_pinned() -> None:
    pinned = {normalised(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = {normalised(item) for item in groups["dev"]}
    for package in PACKAGES:
        wanted |= declared(package, extras=True)
    assert wanted - pinned - {normalised(package) for package in PACKAGES} == set()


def test_no_file_names_a_package_index_or_a_place_on_one_machine() -> None:
    words = ["py" + "pi.org", "python" + "hosted.org", "index" + "-url", "find" + "-links"]
    place = r"(?<![\w.~$}/])/(?:root|home|Users|work)/\w"
    pattern = re.compile("|".join([*map(re.escape, words), place]))
    guilty = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content and (match := pattern.search(content.decode("utf-8", errors="replace"))):
            guilty.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert guilty == []


def test_the_example_environment_names_exactly_the_variables_that_are_read() -> None:
    named = re.findall(r"^#? ?(METSEG_\w+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    read = {variable for settings in settings_classes() for variable in settings.variables().values()}
    assert set(named) == read
    assert len(named) == len(set(named))


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in project_files():
        if path.suffix == ".md":
            links = re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text(encoding="utf-8"))
            broken += [f"{path.relative_to(ROOT)}: {link}" for link in links if not (path.parent / link).exists()]
    assert broken == []
