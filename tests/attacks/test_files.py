"""Files made to hurt their reader: each is refused by its code, fast and for little memory.

The worker reads in a child process with limits besides (tests/worker/sandbox/test_hostile_inputs.py).
"""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from crafted_files import GZIP, HARMLESS, NIFTI, OTHERS, PICTURES

from metseg.errors import InputError
from metseg.imaging.scan import read_scan

REFUSED = NIFTI | GZIP | PICTURES | OTHERS
MOST_BYTES = 48 << 20
MOST_S = 5.0

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")


@pytest.mark.parametrize("kind", REFUSED)
def test_a_crafted_file_is_refused_cheaply(tmp_path: Path, kind: str) -> None:
    make, code = REFUSED[kind]
    path = written(tmp_path, make)
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as refused:
            read_scan(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.code == code
    assert len(str(refused.value).split()) >= 5
    assert str(path) not in str(refused.value)
    assert peak < MOST_BYTES
    assert time.monotonic() - began < MOST_S


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_lie_that_nothing_depends_on_is_read_past(tmp_path: Path, kind: str) -> None:
    assert read_scan(written(tmp_path, HARMLESS[kind])).volume.shape in ((64, 64, 1), (32, 32, 8))


def written(folder: Path, make: Callable[[], bytes]) -> Path:
    path = folder / "input"
    path.write_bytes(make())
    return path
