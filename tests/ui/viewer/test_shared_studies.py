"""One copy for all visits, loaded once, within a limit; and addresses that end with their visit."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fake_api import FakeApi
from phantoms import card
from results import volume_result

from metseg_client import MetsegClient
from metseg_ui.viewer.packing import PackedArray, ViewedStudy, pack
from metseg_ui.viewer.routes import BROWSER
from metseg_ui.viewer.shared_studies import Addresses, SharedStudies
from metseg_ui.viewer.study import fetch_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ViewedStudy:
    made = volume_result(tmp_path_factory.mktemp("volume"))
    api = FakeApi([card()], made.files)
    client = MetsegClient("http://api", transport=api.transport())
    report = client.report(api.add_job())
    return pack(report, fetch_study(client, report))


def test_visits_that_come_at_once_wait_for_one_load(study: ViewedStudy) -> None:
    studies, loads, begun = SharedStudies(), [], threading.Event()

    def load() -> ViewedStudy:
        loads.append(1)
        begun.wait(0.3)
        return study

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: studies.get("job", load), range(8)))
    assert got == [study] * 8
    assert loads == [1]


def test_a_load_that_fails_is_tried_again(study: ViewedStudy) -> None:
    studies = SharedStudies()

    def fail() -> ViewedStudy:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        studies.get("job", fail)
    assert studies.get("job", lambda: study) is study


def test_what_was_looked_at_longest_ago_goes_first(study: ViewedStudy) -> None:
    sized = replace(study, scan=PackedArray(bytes(40), "uint8"), labels=PackedArray(bytes(10), "uint8"))
    studies = SharedStudies(kept_bytes=120)
    for job in ("a", "b"):
        studies.get(job, lambda: sized)
    assert studies.known("a") is sized
    studies.get("c", lambda: sized)
    assert [studies.known(job) is not None for job in "abc"] == [True, False, True]


def test_an_address_is_of_one_visit_and_one_job_and_ends_with_the_visit() -> None:
    addresses, is_open = Addresses(), {"one", "two"}.__contains__
    token = addresses.token("one", "job")
    assert addresses.token("one", "job") == token
    assert len({token, addresses.token("two", "job"), addresses.token("one", "other")}) == 3
    assert addresses.job_of(token, is_open) == "job"
    assert addresses.job_of(token, {"two"}.__contains__) is None
    assert addresses.job_of("guess", is_open) is None
    addresses.drop_closed({"two"}.__contains__)
    assert addresses.job_of(token, is_open) is None


def test_a_lesions_place_lies_in_it(study: ViewedStudy) -> None:
    labels = np.frombuffer(gzip.decompress(study.labels.content), np.uint8).reshape(study.shape, order="F")
    assert study.places
    for label, place in study.places.items():
        assert labels[place] == label


def test_the_code_for_the_browser_lies_beside_the_package() -> None:
    assert {path.name for path in BROWSER.iterdir()} >= {"viewer.js", "canvas.js", "geometry.js", "viewer.css"}
