"""Terms that the project no longer uses; docs/glossary.md has those that it uses."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

REMOVED = {
    "came along": "uploaded prior",
    "laid upon": "registered to",
    "middle plane": "mid-sagittal plane",
    "likeness": "similarity",
    "equalising": "CLAHE",
    "told by name": "named",
    "stood still": "timed out",
    "as may wait": "the queue is full",
    "nobody gets in": "every request must authenticate",
    "looks after": "recovers, supervises",
    "reports of before": "reports written by earlier versions",
    "gateway": "API",
    "postman": "delivery loop",
    "errand": "delivery, session",
    "fresh looks": "coalesced reads",
}
"""The term and what is said instead."""

EXEMPT = ("CHANGELOG.md", "constraints.txt", "docs/decisions/", "docs/glossary.md", "tests/test_language.py")
ALLOWED = re.compile(
    r'bad gateway|"came along"|"midplane likeness"|gateways-deliver|and-the-gateway', re.IGNORECASE
)


def project_texts() -> list[str]:
    """The names of the text files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout, so its files cannot be listed")
    endings = (".py", ".md", ".yml", ".yaml", ".toml", ".sh", ".json", ".css", "akefile", "Dockerfile")
    return [name for name in listed.stdout.split("\0") if name.endswith(endings) and not name.startswith(EXEMPT)]


def test_no_removed_term_is_used() -> None:
    pattern = re.compile(r"\b(" + "|".join(REMOVED) + r")s?\b", re.IGNORECASE)
    found = [
        f"{name}:{number}: {match[1]!r}; say {REMOVED[match[1].lower()]!r}"
        for name in project_texts()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        for match in pattern.finditer(ALLOWED.sub("", line))
    ]
    assert found == []
