"""What tests of the page leave behind."""

import sys

import pytest


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit runs a script as `__main__` and leaves it there, where processes that are spawned later look."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
