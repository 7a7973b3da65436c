"""The processes that a test has started, known by a word of their command line."""

from contextlib import suppress

import psutil


def children_with(word: str) -> list[psutil.Process]:
    """Those that run now, also children of children; what is dead and not yet buried has no command line."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if word in child.cmdline():
                found.append(child)
    return found
