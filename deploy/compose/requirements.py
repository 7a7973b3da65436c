"""Print what packages of this repository need from elsewhere, one requirement a line: `requirements.py FOLDER …`.

An image installs these before any code is copied into it, so that a change of code leaves that layer alone.
"""

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def requirements(folders: Sequence[Path]) -> list[str]:
    """What the packages in `folders` declare, sorted, with the extras that they ask of each other.

    Args:
        folders: Each holds the `pyproject.toml` of one package; packages among them are left out of the answer.
    """
    projects = {project["name"]: project for project in map(_project, folders)}
    wanted = [requirement for project in projects.values() for requirement in project.get("dependencies", [])]
    found: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        name, extras = _parts(requirement)
        if name in projects:
            wanted += [one for extra in extras for one in projects[name]["optional-dependencies"][extra]]
        else:
            found.add(requirement)
    return sorted(found)


def _project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _parts(requirement: str) -> tuple[str, list[str]]:
    match = re.match(r"([A-Za-z0-9._-]+)(?:\[([^]]+)\])?", requirement)
    if match is None:
        raise ValueError(f"expected a requirement that begins with a package's name, got {requirement!r}")
    return match[1], [extra.strip() for extra in (match[2] or "").split(",") if extra]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in requirements([Path(name) for name in sys.argv[1:]])))
