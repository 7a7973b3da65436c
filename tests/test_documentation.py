"""Rules about the documentation beyond its links, which `make docs` checks too."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = ("shared", "client", "services", "deploy", "benchmarks", "tests")
PARENTS = ("shared", "client", "services/*")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
def test_every_file_of_code_that_a_page_names_exists(page: Path) -> None:
    modules = [f"/{path.relative_to(ROOT)}" for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    named = re.findall(r"(?<![\w./-])([\w./-]+\.py)\b", page.read_text(encoding="utf-8"))
    assert [name for name in named if not any(module.endswith(f"/{name}") for module in modules)] == []


@each_page
def test_every_module_that_a_page_names_by_its_import_path_exists(page: Path) -> None:
    named = re.findall(r"`(metseg(?:_\w+)?(?:\.\w+)+)(?:\(\))?`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether an import path leads to a folder or module of the packages, or to something that a module names."""
    package, *rest = name.split(".")
    [path] = [found for parent in PARENTS for found in ROOT.glob(f"{parent}/{package}")]
    for number, part in enumerate(rest):
        if (path / part).is_dir():
            path /= part
        elif (module := path / f"{part}.py").is_file():
            text = module.read_text(encoding="utf-8")
            return all(re.search(rf"\b{inner}\b", text) for inner in rest[number + 1 :])
        else:
            return False
    return True


def test_a_list_has_an_empty_line_before_it_as_the_site_needs_it() -> None:
    glued = re.compile(r"^(?![-|#> ]|\d+\.)[^\n]+\n- ", re.MULTILINE)
    found = []
    for page in [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        found += [f"{page.relative_to(ROOT)}: {match[0]!r}" for match in glued.finditer(text)]
    assert found == []
