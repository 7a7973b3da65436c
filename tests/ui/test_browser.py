"""The page in a real Chromium, in front of a stand-in API with artefacts of known content."""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_api import FakeApi
from page import MetsegPage, chromium, page_process, visiting
from phantoms import card
from playwright.sync_api import Browser, expect
from results import Made, picture_result, volume_result

from metseg.jobs import Failure
from metseg_ui.drawing import CHOSEN, LESION
from metseg_ui.wording import BANNER

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return volume_result(tmp_path_factory.mktemp("volume"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeApi, str]]:
    """The stand-in and the address of a page that asks it."""
    api = FakeApi([card(threshold=0.4, limits=["Children were never seen."])])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("page") / "page.log"
    with api.serving() as api_url, page_process(api_url, port, log) as url:
        yield api, url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def api(served: tuple[FakeApi, str], made: Made) -> FakeApi:
    api = served[0]
    api.files, api.failure, api.run_s, api.down = made.files, None, 0.0, False
    return api


@pytest.fixture
def visit(browser: Browser, served: tuple[FakeApi, str], api: FakeApi) -> Iterator[MetsegPage]:
    """A visit that must not ask anybody else for anything, nor make the browser complain."""
    with visiting(served[1], browser) as page:
        yield page
        assert page.strange_requests == []
        assert page.console_errors == []


def test_a_dropped_file_is_followed_to_its_lesions_and_taken_home(
    visit: MetsegPage, api: FakeApi, tmp_path: Path
) -> None:
    path = tmp_path / "head.nii.gz"
    path.write_bytes(b"\x1f\x8bvoxels" * 1000)
    api.run_s = 600.0
    visit.open()
    assert BANNER in visit.text()
    expect(visit.browser_page.get_by_text("Children were never seen.")).to_be_visible()
    job_id = visit.upload(path)
    assert path.read_bytes() in api.uploads[-1]
    expect(visit.browser_page.get_by_role("progressbar")).to_be_visible()
    assert "Read the scan" in visit.text()
    api.jobs[job_id].run_s = 0.0
    visit.wait_done()
    assert BANNER in visit.text()
    assert visit.count_pixels(LESION) > 100
    assert [row["Centre"] for row in visit.lesion_rows()] == ["L 28 · A 30 · S 12", "R 34 · P 22 · S 2",
                                                             "L 12 · P 40 · S 30"]  # fmt: skip
    taken = visit.download("Mask (NIfTI)", tmp_path)
    assert taken.read_bytes() == api.files["mask.nii.gz"][1]
    assert taken.name == f"metseg-{job_id[-8:]}-mask.nii.gz"


def test_a_left_front_lesion_is_seen_at_the_upper_right_and_leaves_with_the_slices(
    visit: MetsegPage, api: FakeApi
) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    assert visit.slice_text == "Axial slice 35 of 60 with lesion 1"
    pixels = visit.viewer_pixels().astype(int)
    rows, columns = (abs(pixels - LESION).max(axis=-1) <= 40).nonzero()
    assert columns.mean() > pixels.shape[1] / 2
    assert rows.mean() < pixels.shape[0] / 2
    visit.move_slice(-12)
    assert visit.slice_text == "Axial slice 23 of 60 with no lesion"
    assert visit.count_pixels(LESION) == 0


def test_a_ticked_row_leads_to_its_lesion_in_every_plane(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    visit.pick_lesion(2)
    assert "lesion 3" in visit.slice_text
    assert visit.count_pixels(CHOSEN) > 30
    visit.choose_option("Sagittal")
    assert visit.slice_text.startswith("Sagittal slice")
    assert "lesion 3" in visit.slice_text
    assert visit.count_pixels(CHOSEN) > 30


def test_a_fill_colours_more_than_an_outline_and_off_colours_nothing(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    outlined = visit.count_pixels(LESION)
    visit.choose_option("Fill")
    red, _, blue = np.moveaxis(visit.viewer_pixels().astype(int), -1, 0)
    assert (red - blue > 40).sum() > 3 * outlined
    visit.choose_option("Off")
    assert visit.count_pixels(LESION) == 0


def test_keys_leaf_through_the_slices(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    for key, expected in (("j", "slice 36"), ("k", "slice 35"), ("k", "slice 34")):
        visit.browser_page.locator("body").press(key)
        visit.settle()
        assert expected in visit.slice_text


def test_a_reload_keeps_the_job(visit: MetsegPage, api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "slice.png"
    path.write_bytes(b"pixels")
    api.run_s = 2.0
    visit.open()
    job_id = visit.upload(path)
    visit.browser_page.reload()
    visit.wait_done()
    assert visit.job_id == job_id


def test_a_double_click_sends_one_scan(visit: MetsegPage, api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "head.nii"
    path.write_bytes(b"voxels")
    before = len(api.jobs)
    visit.open()
    visit.choose(path)
    visit.button("Find lesions").dblclick()
    visit.wait_done()
    assert len(api.jobs) == before + 1


def test_a_picture_is_drawn_as_it_came(visit: MetsegPage, api: FakeApi, tmp_path: Path) -> None:
    api.files = picture_result(tmp_path).files
    visit.open(api.add_job())
    visit.wait_done()
    assert visit.slice_text == "Picture with lesions 1 and 2"
    assert "not millimetres" in visit.text()
    assert visit.count_pixels(LESION) > 100


def test_a_failed_job_is_told_in_a_sentence(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job(failure=Failure(code="input_damaged", message="the file breaks off *early*")))
    expect(visit.browser_page.get_by_text("The file breaks off *early*.")).to_be_visible()
    assert "input_damaged" in visit.text()
    assert "Traceback" not in visit.text()


def test_a_page_without_its_api_says_so_and_recovers(visit: MetsegPage, api: FakeApi) -> None:
    api.down = True
    visit.open()
    expect(visit.button("Try again")).to_be_visible()
    assert "store_unavailable" in visit.text()
    api.down = False
    visit.button("Try again").click()
    expect(visit.button("Find lesions")).to_be_visible()


def test_a_job_is_deleted_only_after_a_question(visit: MetsegPage, api: FakeApi) -> None:
    job_id = api.add_job()
    visit.open(job_id)
    visit.wait_done()
    visit.button("Delete this job").click()
    assert not api.jobs[job_id].deleted
    visit.button("Delete for good").click()
    expect(visit.browser_page.get_by_text("are deleted")).to_be_visible()
    assert api.jobs[job_id].deleted
    assert visit.job_id == ""
