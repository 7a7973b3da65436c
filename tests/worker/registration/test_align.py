"""A head that was turned, moved and scanned again is registered to itself; what is no such head is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from heads import edge_points, head, motion

from metseg.imaging.volume import Volume
from metseg.jobs.previous_errors import RegistrationError
from metseg_worker.registration.align import DOUBTFUL_CORRELATION, align

MOTIONS = {
    "turned far": (motion(15, (1, 2, 3), (0, 0, 0)), (1.5, 1.5, 1.5)),
    "shifted far, thick slices": (motion(6, (3, -1, 1), (-12, 12, 10)), (0.9, 1.2, 4.0)),
}


def aligned(now: Volume, before: Volume, folder: Path):
    return align(now, before, folder, check=lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOTIONS)
def test_a_known_motion_is_found_to_a_millimetre_at_the_edge_of_the_head(name: str, tmp_path: Path):
    pose, spacing = MOTIONS[name]
    grown = [((20.0, 30.0, 20.0), 9.0), ((-30.0, -20.0, 0.0), 6.0)]
    found = aligned(head((1.0, 1.0, 2.0), grown), head(spacing, grown[:1], pose=pose, seed=2), tmp_path)
    points, matrix = edge_points(), np.array(found.to_previous_ras_mm)
    moved, true = (points @ one[:3, :3].T + one[:3, 3] for one in (matrix, pose))
    assert np.linalg.norm(moved - true, axis=1).max() < 1
    assert found.head_overlap > 0.95
    assert found.correlation > DOUBTFUL_CORRELATION


@pytest.mark.slow
def test_what_shows_another_thing_is_refused_with_what_was_expected(tmp_path: Path):
    noise = np.random.default_rng(0).normal(100, 30, (60, 70, 60)).astype(np.float32)
    with pytest.raises(RegistrationError, match=r"expected the (one|same) head"):
        aligned(head((3.0, 3.0, 3.0)), Volume(noise, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path)


def test_a_worker_does_not_load_the_library_that_registers():
    code = "import metseg_worker.attempt.run, sys; sys.exit('SimpleITK' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
