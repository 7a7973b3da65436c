"""What makes a commit a release, and that every part says the same version."""

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from deploy.local.release import (
    PACKAGES,
    ReleaseError,
    check,
    check_changelog,
    check_tree,
    read_version,
    write_checksums,
)

ROOT = Path(__file__).parents[2]
GOOD = (
    "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Added\n- Much.\n\n## [1.2.2] - 2026-11-01\n"
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A committed repository whose version is 1.2.3."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(GOOD)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "All")
    return tmp_path


def git(folder: Path, *command: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *command], cwd=folder, check=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_takes_the_one_version(package: str) -> None:
    metadata = ProjectMetadata(str(ROOT / package), PluginManager())
    assert metadata.version == read_version()
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    assert ("version" in project) == (package == "shared")


def test_a_committed_tree_with_its_changelog_can_become_a_release(repository: Path) -> None:
    assert check(repository) == "1.2.3"


def test_an_uncommitted_change_or_a_taken_tag_stops_the_release(repository: Path) -> None:
    (repository / "new.txt").touch()
    with pytest.raises(ReleaseError, match=r"1 uncommitted changes, the first is new\.txt"):
        check_tree(repository, "1.2.3")
    (repository / "new.txt").unlink()
    git(repository, "tag", "-am", "metseg 1.2.3", "v1.2.3")
    with pytest.raises(ReleaseError, match=r"the tag v1\.2\.3 exists"):
        check_tree(repository, "1.2.3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("1.2.3", "1.2.4"), r"\[Unreleased\] and then \[1\.2\.3\]"),
        (GOOD.replace("[Unreleased]", "[1.3.0]"), r"\[Unreleased\] and then \[1\.2\.3\]"),
        (GOOD.replace("[Unreleased]\n", "[Unreleased]\n- More.\n"), r"text stands under \[Unreleased\]"),
        (GOOD.replace("### Added\n- Much.\n", ""), r"nothing stands under \[1\.2\.3\]"),
        (GOOD.replace(" - 2026-12-01", ""), "date"),
        (GOOD.replace("2026-12-01", "2026-13-01"), "date"),
        ("", "first sections"),
    ],
)
def test_a_changelog_that_does_not_tell_of_the_version_stops_the_release(text: str, said: str) -> None:
    check_changelog(GOOD, "1.2.3")
    with pytest.raises(ReleaseError, match=said):
        check_changelog(text, "1.2.3")


def test_a_version_of_a_development_state_is_no_release(repository: Path) -> None:
    (repository / "shared" / "pyproject.toml").write_text('[project]\nversion = "1.2.3.dev0"\n')
    with pytest.raises(ReleaseError, match="got 1.2.3.dev0"):
        read_version(repository)


def test_the_checksums_are_those_that_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "b.whl").write_bytes(b"wheel")
    (tmp_path / "a.json").write_bytes(b"bill")
    write_checksums(tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("a.json", b"bill"), ("b.whl", b"wheel"))
    )
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_the_changelog_has_a_section_for_each_version_and_dates_them() -> None:
    sections = re.findall(r"^## \[(.+)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", dated) for _, dated in sections[1:])
    assert read_version() in [version for version, _ in sections]


def test_the_command_says_the_version_of_its_package() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "metseg_client", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.split() == ["metseg", read_version()]
