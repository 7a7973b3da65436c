"""The page in a real Chromium, in front of a fake API with artefacts of known content."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_api import FakeApi
from page import MetsegPage, chromium, page_process, visiting
from phantoms import card
from playwright.sync_api import Browser, Locator, expect
from results import Made, picture_result, volume_result

from metseg.schemas.job import Failure, FoundSeries
from metseg_ui.text import BANNER

SERIES = [
    FoundSeries(uid="1.2.840.4", number=4, images=176, is_t1=True, has_agent=True),
    FoundSeries(uid="1.2.840.7", number=7, images=1, is_t1=False),
]
UNCLEAR = Failure(code="series_unclear", message="Expected one T1 series, got 2 series.", series=SERIES)

LESION, CHOSEN = (255, 84, 44), (0, 214, 255)
"""Colours of browser/canvas.js."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return volume_result(tmp_path_factory.mktemp("volume"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeApi, str]]:
    """The fake API and the address of a page that asks it."""
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
    api.files, api.failure, api.run_s, api.down, api.scans = made.files, None, 0.0, False, 1
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
    centres = [row["Centre RAS mm"] for row in visit.lesion_rows()]
    assert centres == ["-28, 30, 12", "34, -22, 2", "-12, -40, 30"]
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


@pytest.mark.parametrize("across_px", [16, 120], ids=["ticked", "clicked"])
def test_a_row_leads_to_its_lesion_in_every_plane_and_stands_in_the_address(
    visit: MetsegPage, api: FakeApi, across_px: int
) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    visit.pick_lesion(2, across_px)
    assert visit.count_pixels(CHOSEN) > 30
    visit.press("Sagittal")
    assert visit.slice_text.startswith("Sagittal slice")
    assert "lesion 3" in visit.slice_text
    assert visit.count_pixels(CHOSEN) > 30
    assert visit.browser_page.url.endswith("&lesion=3")
    visit.press("Axial")
    visit.move_slice(-12)
    visit.browser_page.evaluate("sessionStorage.clear()")
    visit.browser_page.reload()
    visit.wait_done()
    visit.expect_said(re.compile("with lesion 3"))


def test_a_fill_colours_more_than_an_outline_and_off_colours_nothing(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    outlined = visit.count_pixels(LESION)
    visit.press("Fill")
    red, _, blue = np.moveaxis(visit.viewer_pixels().astype(int), -1, 0)
    filled = (red - blue > 60).sum()
    visit.press("Off")
    red, _, blue = np.moveaxis(visit.viewer_pixels().astype(int), -1, 0)
    assert filled > outlined > 100
    assert (red - blue > 60).sum() == 0


def test_windows_change_what_is_seen_and_a_right_drag_leaves_the_preset(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    usual = visit.viewer_pixels().mean()
    visit.press("Enhancement")
    assert visit.viewer_pixels().mean() < usual
    box = visit.plane.bounding_box()
    assert box is not None
    mouse = visit.browser_page.mouse
    mouse.move(box["x"] + 100, box["y"] + 100)
    mouse.down(button="right")
    mouse.move(box["x"] + 100, box["y"] - 60, steps=4)
    mouse.up(button="right")
    pressed = visit.browser_page.locator(".viewer .group[aria-label=Window] button[aria-pressed=true]")
    expect(pressed).to_have_count(0)


def test_every_held_key_and_every_notch_of_the_wheel_is_a_slice(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    visit.plane.focus()
    for _ in range(20):
        visit.browser_page.keyboard.press("ArrowDown")
    visit.expect_said(re.compile("slice 15 of 60"))
    for _ in range(60):
        visit.browser_page.keyboard.press("ArrowUp")
    visit.expect_said(re.compile("slice 60 of 60"))
    at = visit.browser_page.evaluate("window.scrollY")
    visit.plane.hover()
    for _ in range(10):
        visit.browser_page.mouse.wheel(0, 100)
    visit.expect_said(re.compile("slice 50 of 60"))
    assert visit.browser_page.evaluate("window.scrollY") == at


def test_a_click_takes_the_other_planes_along_and_a_ruler_measures(
    visit: MetsegPage, api: FakeApi, made: Made
) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    box = visit.plane.bounding_box()
    assert box is not None
    visit.browser_page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    kept = 'Object.entries(sessionStorage).find(([name]) => name.startsWith("metseg-viewer"))[1]'
    visit.browser_page.wait_for_timeout(200)
    cross = visit.browser_page.evaluate(f"JSON.parse({kept}).cross")
    shape = made.scan.to_ras().shape
    assert all(abs(place - count / 2) <= 1 for place, count in zip(cross[:2], shape[:2], strict=True)), cross
    visit.press("Ruler")
    mouse = visit.browser_page.mouse
    mouse.move(box["x"] + 120, box["y"] + 120)
    mouse.down()
    mouse.move(box["x"] + 220, box["y"] + 120, steps=3)
    mouse.up()
    assert visit.count_pixels((255, 221, 87)) > 50
    assert visit.browser_page.evaluate(f"JSON.parse({kept}).cross") == cross


def test_keys_alone_do_everything(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    visit.plane.focus()
    keys = visit.browser_page.keyboard
    for key, words in (
        ("n", "with lesion 1"), ("n", "with lesions 1 and 2"), ("p", "with lesion 1"), ("2", "Coronal"),
        ("1", "Axial"), ("Home", "slice 1 of"), ("End", "slice 60 of"), ("PageDown", "slice 50 of"),
    ):  # fmt: skip
        keys.press(key)
        visit.expect_said(re.compile(words))
        visit.plane.focus()
    keys.press("t")
    expect(visit.browser_page.locator(".viewer canvas:visible")).to_have_count(1)
    keys.press("?")
    expect(visit.browser_page.get_by_text("next, previous lesion")).to_be_visible()
    keys.press("Escape")
    keys.press("n")
    with visit.browser_page.expect_download() as waiting:
        keys.press("s")
    assert waiting.value.suggested_filename.endswith("-axial.png")


def test_a_press_in_the_viewer_moves_no_byte_but_a_lesions_number(visit: MetsegPage, api: FakeApi) -> None:
    visit.open(api.add_job())
    visit.wait_done()
    asked: list[str] = []
    visit.browser_page.on("request", lambda request: asked.append(request.url))
    visit.plane.focus()
    for key in ("ArrowUp", "o", "w", "x", "2", "ArrowDown"):
        visit.browser_page.keyboard.press(key)
    visit.browser_page.wait_for_timeout(500)
    assert asked == []


def test_nobody_gets_voxels_by_another_address(visit: MetsegPage, api: FakeApi) -> None:
    answered: list[str] = []
    visit.browser_page.on("response", lambda answer: answered.append(answer.url))
    visit.open(api.add_job())
    visit.wait_done()
    [scan] = [url for url in answered if url.endswith("/scan")]
    guessed = visit.browser_page.request.get(scan.replace(scan.split("/")[-2], "A" * 32))
    assert guessed.status == 404
    assert visit.browser_page.request.get(scan.replace("/scan", "/report")).status == 404
    assert visit.browser_page.request.get(scan).ok


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1440, 900), (820, 1180)])
def test_the_viewer_fits_the_screen(visit: MetsegPage, api: FakeApi, width: int, height: int) -> None:
    visit.browser_page.set_viewport_size({"width": width, "height": height})
    visit.open(api.add_job())
    visit.wait_done()
    box = visit.browser_page.locator(".viewer").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= height
    assert box["x"] + box["width"] <= width


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


def sent_field(body: bytes, name: str) -> str | None:
    """The value of a field in an upload."""
    _, begins, rest = body.partition(f'name="{name}"\r\n\r\n'.encode())
    return rest.partition(b"\r\n")[0].decode() if begins else None


def pick_series(visit: MetsegPage, text: str) -> None:
    visit.browser_page.get_by_text(text).click()  # its radio button is hidden from the mouse
    visit.settle()


def series_field(visit: MetsegPage) -> Locator:
    return visit.browser_page.get_by_role("textbox", name="DICOM series")


def test_a_series_is_picked_and_the_scan_sent_again_without_dropping_it_anew(
    visit: MetsegPage, api: FakeApi, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        path.write_bytes(b"image of " + path.name.encode())
    api.failure = UNCLEAR
    visit.open()
    first = visit.upload(*paths)
    visit.browser_page.get_by_text("Series 4: T1 with contrast agent, 176 images").wait_for()
    pick_series(visit, "Series 7: other than T1, 1 image")
    api.failure = None
    visit.button("Segment this series").click()
    visit.browser_page.wait_for_url(lambda url: first not in url)
    expect(visit.browser_page.get_by_test_id("stAlertContentError")).to_have_count(0, timeout=60_000)
    visit.wait_done()
    before, after = api.uploads[-2:]
    assert [sent_field(body, "series_uid") for body in (before, after)] == [None, "1.2.840.7"]
    for path in paths:
        assert path.read_bytes() in after
    assert "1.2.840" not in visit.text()


def test_a_visit_that_did_not_send_the_files_asks_for_them_and_keeps_the_series(
    visit: MetsegPage, api: FakeApi, tmp_path: Path
) -> None:
    path = tmp_path / "exam.zip"
    path.write_bytes(b"images")
    visit.open(api.add_job(failure=UNCLEAR))
    pick_series(visit, "Series 4: T1 with contrast agent, 176 images")
    visit.button("Choose the files").click()
    visit.choose(path)
    assert series_field(visit).input_value() == "1.2.840.4"
    visit.send()
    visit.wait_done()
    assert sent_field(api.uploads[-1], "series_uid") == "1.2.840.4"
    visit.button("New scan").click()
    visit.choose(path)
    assert series_field(visit).input_value() == ""


def test_only_what_may_hold_a_series_is_asked_for_one(visit: MetsegPage, tmp_path: Path) -> None:
    path = tmp_path / "head.nii.gz"
    path.write_bytes(b"voxels")
    visit.open()
    visit.choose(path)
    expect(series_field(visit)).to_have_count(0)


def test_an_earlier_scan_goes_along_and_its_series_is_asked_for_apart(
    visit: MetsegPage, api: FakeApi, tmp_path: Path
) -> None:
    now, then = tmp_path / "now.nii.gz", tmp_path / "then.zip"
    now.write_bytes(b"voxels of now")
    then.write_bytes(b"images of then")
    api.failure = UNCLEAR.model_copy(update={"of_previous": True})
    visit.open()
    visit.choose(now)
    visit.choose_option("An earlier scan")
    expect(visit.button("Find lesions")).to_be_disabled()
    visit.choose_earlier(then)
    visit.send()
    visit.browser_page.get_by_text("Which series of the earlier scan is to be segmented?").wait_for()
    api.failure, api.run_s, api.scans = None, 3600.0, 2
    visit.button("Segment this series").click()
    visit.browser_page.get_by_text("Earlier scan: Read the scan").wait_for()
    for body in api.uploads[-2:]:
        parts = [body.index(mark) for mark in (b'name="file"', b"voxels of now", b'name="previous_file"')]
        assert [*parts, body.index(b"images of then")] == sorted([*parts, body.index(b"images of then")])
    uids = [sent_field(api.uploads[-1], name) for name in ("series_uid", "previous_series_uid", "previous")]
    assert uids == [None, "1.2.840.4", None]


def test_earlier_jobs_are_named_in_their_order(visit: MetsegPage, api: FakeApi, tmp_path: Path) -> None:
    path = tmp_path / "now.nii.gz"
    path.write_bytes(b"voxels")
    visit.open()
    visit.choose(path)
    visit.choose_option("Earlier jobs")
    expect(visit.button("Find lesions")).to_be_disabled()
    field = visit.browser_page.get_by_role("textbox", name="Earlier jobs of the same patient")
    field.fill("first, second")
    field.press("Enter")
    visit.settle()
    visit.send()
    assert sent_field(api.uploads[-1], "previous") == "first,second"
    assert b"previous_file" not in api.uploads[-1]
