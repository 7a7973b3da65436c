"""A result is made again from its stored input, and what differs is named."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from dicom_series import CONTRAST, classic, to_bytes
from hostile_files import nifti
from phantoms import affine_of, centred, head_with_ball
from workplace import Workplace


def replayed(place: Workplace, job_id: str) -> subprocess.CompletedProcess[str]:
    environment = place.environment() | {"METSEG_SERVING_DEVICE": "a test"}
    command = [sys.executable, "-m", "metseg_worker", "replay", job_id]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def job_id(place: Workplace) -> str:
    job_id = place.submit(nifti())
    place.attempt(job_id)
    return job_id


def test_a_result_that_is_made_again_is_the_same_and_leaves_nothing(place: Workplace, job_id: str):
    before = place.names(job_id)
    done = replayed(place, job_id)
    assert done.returncode == 0, done.stderr
    told = dict(reversed(line.split()) for line in done.stdout.splitlines())
    assert set(told) == {artefact.name for artefact in place.store.final(job_id).artefacts}
    assert set(told.values()) == {"same"}
    assert place.names(job_id) == before
    assert os.listdir(place.folder / "scratch") == []


def test_two_replays_of_one_job_at_once_do_not_meet(place: Workplace, job_id: str):
    arrived, both = threading.Barrier(2), threading.Event()
    place.serving.on_call = lambda: both.is_set() or (arrived.wait(90), both.set())
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: replayed(place, job_id), range(2)))
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert os.listdir(place.folder / "scratch") == []


def test_the_objects_of_a_dicom_series_are_the_same_to_the_byte(place: Workplace):
    shape = (64, 56, 12)
    affine = centred(affine_of(("L", "A", "S"), (3, 3.5, 6)), shape, np.zeros(3))
    head = head_with_ball(shape, affine, np.array((28.0, 12, 6)), 20, 80)
    images = classic(head.with_array(head.array.astype(np.uint16)), **CONTRAST)
    job_id = place.submit(*(to_bytes(image) for image in images))
    place.attempt(job_id)
    done = replayed(place, job_id)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    for name in ("seg.dcm", "sr.dcm", "rtstruct.dcm"):
        assert ["same", name] in told


def test_what_differs_is_named(place: Workplace, job_id: str):
    place.serving.lesion_from = 50
    done = replayed(place, job_id)
    assert done.returncode == 3
    told = dict(reversed(line.split()) for line in done.stdout.splitlines())
    assert told["mask.nii.gz"] == told["report.json"] == "differs"
    assert told["scan.nii.gz"] == "same"


def test_a_job_without_a_result_is_refused(place: Workplace):
    done = replayed(place, place.submit(nifti()))
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a job that succeeded" in done.stderr


def test_an_input_that_was_changed_in_the_store_is_refused(place: Workplace, job_id: str):
    stored = Path(place.folder / "store" / place.store.input_key(job_id))
    stored.write_bytes(stored.read_bytes() + b"\0")
    done = replayed(place, job_id)
    assert done.returncode == 1
    assert "not the file that was accepted" in done.stderr
