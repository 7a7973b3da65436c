"""Checks, builds and tags a release: `python -m deploy.local.release check`, then `build`; see `make release`.

The version is that of `shared/pyproject.toml`, which all packages take. What is built lies in
`build/release/<version>/`: wheels, software bills of materials, and `SHA256SUMS` over both. Images are built and
tagged where Docker answers.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from deploy.local.settings import ROOT

PACKAGES: Final = (
    *(
        "shared",
        "client",
        "services/api",
        "services/worker",
        "services/ui",
        "services/trainer",
        "services/serving",
    ),
)
VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_SECTION: Final = re.compile(r"^## \[([^]]+)\](?: - (\S+))?$", re.MULTILINE)


class ReleaseError(RuntimeError):
    """This commit is no release; the message says why."""


def read_version(root: Path = ROOT) -> str:
    """Return the version of all packages.

    Raises:
        ReleaseError: It is not three numbers.
    """
    text = (root / "shared" / "pyproject.toml").read_text(encoding="utf-8")
    version: str = tomllib.loads(text)["project"]["version"]
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"shared/pyproject.toml: expected a version such as 1.2.3, got {version}")
    return version


def check_changelog(text: str, version: str) -> None:
    """Make sure that the version is the newest section of the changelog, and that nothing is unreleased.

    Raises:
        ReleaseError: It is not, has no date or no text, or text stands under [Unreleased].
    """
    found = list(_SECTION.finditer(text))
    if len(found) < 2 or found[0][1] != "Unreleased" or found[1][1] != version:
        raise ReleaseError(f"CHANGELOG.md: expected [Unreleased] and then [{version}] as the first sections")
    unreleased, newest = found[:2]
    end = found[2].start() if len(found) > 2 else len(text)
    if text[unreleased.end() : newest.start()].strip():
        raise ReleaseError(f"CHANGELOG.md: text stands under [Unreleased]; move it to [{version}]")
    if not text[newest.end() : end].strip():
        raise ReleaseError(f"CHANGELOG.md: nothing stands under [{version}]")
    try:
        date.fromisoformat(newest[2] or "")
    except ValueError:
        raise ReleaseError(f"CHANGELOG.md: expected the date of [{version}] as YYYY-MM-DD") from None


def check_tree(root: Path, version: str) -> None:
    """Make sure that all is committed and the tag is free.

    Raises:
        ReleaseError: It is not.
    """
    changed = _run(root, "git", "status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(f"the work tree has {len(changed)} uncommitted changes, the first is {changed[0][3:]}")
    if _run(root, "git", "tag", "--list", f"v{version}"):
        raise ReleaseError(f"the tag v{version} exists; give shared/pyproject.toml the next version")


def check(root: Path = ROOT) -> str:
    """Check all that takes no time; return the version.

    Raises:
        ReleaseError: This commit is no release.
    """
    version = read_version(root)
    check_changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    check_tree(root, version)
    return version


def build(root: Path = ROOT) -> Path:
    """Build what is handed out, tag the commit, and return the folder.

    Raises:
        ReleaseError: This commit is no release.
    """
    version = check(root)
    folder = root / "build" / "release" / version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheels = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    _run(root, sys.executable, *wheels, *(f"./{package}" for package in PACKAGES))
    lister = str(Path(sys.executable).with_name("cyclonedx-py"))
    bill = str(
        folder / "python-packages.cdx.json"
    )  # all versions it is tested with; images have bills of their own
    _run(root, lister, "requirements", "--output-reproducible", "--output-file", bill, "constraints.txt")
    if _docker_answers():
        _build_images(root, version, folder)
    else:
        _say("Docker does not answer here: no images were built.")
    write_checksums(folder)
    _run(root, "git", "tag", "--annotate", f"v{version}", "--message", f"metseg {version}")
    return folder


def write_checksums(folder: Path) -> None:
    """Write `SHA256SUMS` over a folder's files, as `sha256sum --check` reads it."""
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; 0 when all went well."""
    parser = argparse.ArgumentParser(prog="release", description=__doc__.partition("\n")[0])
    parser.add_argument("step", choices=["check", "build"])
    try:
        if parser.parse_args(arguments).step == "check":
            _say(f"This commit can become {check()}.")
        else:
            folder = build()
            _say(f"Built {folder.relative_to(ROOT)} and tagged v{folder.name}.")
    except ReleaseError as exc:
        sys.stderr.write(f"release: {exc}\n")
        return 1
    return 0


def _build_images(root: Path, version: str, folder: Path) -> None:
    environ = os.environ | {"TAG": version}
    _run(root, "docker", "compose", "--profile", "*", "build", environ=environ)
    _run(root, "deploy/compose/sbom.sh", environ=environ)
    for bill in (root / "sbom").glob("*.cdx.json"):
        shutil.copy2(bill, folder)


def _docker_answers() -> bool:
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "info"], capture_output=True).returncode
    )


def _run(root: Path, *command: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command[:4])} … failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.rstrip()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
