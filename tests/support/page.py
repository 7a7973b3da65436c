"""The page in a real Chromium, spoken to in the words of its visitor."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, WebSocket, expect, sync_playwright

CHROMIUM = Path(os.environ.get("METSEG_TEST_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage"),
)
LOCAL_HOSTS = ("127.0.0.1", "localhost")
REACT_S = 15.0
"""How long the page may take to answer a click on a busy machine."""


class MetsegPage:
    """One visit to the page.

    Attributes:
        browser_page: Playwright's page, for what has no word here.
        strange_requests: addresses off this machine that the page asked for.
        console_errors: what the browser complained of.
    """

    def __init__(self, browser_page: Page, url: str) -> None:
        self.browser_page = browser_page
        self.url = url
        self.strange_requests: list[str] = []
        self.console_errors: list[str] = []
        browser_page.on("request", self._on_request)
        browser_page.on("websocket", self._on_request)
        browser_page.on("console", self._on_console)
        browser_page.on("pageerror", lambda error: self.console_errors.append(str(error)))

    def open(self, job_id: str | None = None) -> None:
        """Go to the form, or to a job's page."""
        self.browser_page.goto(self.url if job_id is None else f"{self.url}/?job={job_id}")
        expect(self.browser_page.locator(".metseg-title")).to_be_visible(timeout=60_000)

    def choose(self, *paths: Path) -> None:
        """Drop the files of a scan on the form."""
        self.browser_page.locator("input[type=file]").first.set_input_files(paths)
        self._wait_for_files(paths)
        expect(self.button("Find lesions")).to_be_enabled(timeout=REACT_S * 1000)

    def choose_earlier(self, *paths: Path) -> None:
        """Drop the files of an earlier scan to compare with."""
        self.choose_option("An earlier scan")
        self.browser_page.locator("input[type=file]").nth(1).set_input_files(paths)
        self._wait_for_files(paths)

    def send(self) -> str:
        """Send what was dropped; returns the job's id."""
        self.button("Find lesions").click()
        self.browser_page.wait_for_url("**/?job=*", timeout=60_000)
        return self.job_id

    def upload(self, *paths: Path) -> str:
        """Drop the files of a scan, send them; returns the job's id."""
        self.choose(*paths)
        return self.send()

    @property
    def job_id(self) -> str:
        """The job in the address."""
        return self.browser_page.url.partition("?job=")[2]

    def wait_done(self, timeout_s: float = 60.0) -> None:
        """Wait until the result is there and drawn; fails with the page's own words if it is an error."""
        view = self.browser_page.locator(".viewer[data-state=ready]")
        problem = self.browser_page.get_by_test_id("stAlertContentError")
        expect(view.or_(problem).first).to_be_visible(timeout=timeout_s * 1000)
        assert not problem.count(), problem.first.inner_text()
        self.settle()

    def settle(self) -> None:
        """Wait until the page has answered the last click."""
        self.browser_page.wait_for_timeout(250)
        app = self.browser_page.locator("[data-testid=stApp]")
        expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=REACT_S * 1000)

    def button(self, label: str) -> Locator:
        """The button of that label."""
        return self.browser_page.get_by_role("button", name=label)

    def choose_option(self, label: str) -> None:
        """Pick one of a row of options, such as a plane."""
        self.browser_page.get_by_role("radio", name=label, exact=True).click()
        self.settle()

    @property
    def slice_text(self) -> str:
        """What the large plane shows, in words."""
        return self.browser_page.locator(".viewer .said").inner_text()

    def move_slice(self, by: int) -> None:
        """Move the slice slider with the arrow keys, by less than is left in that direction."""
        thumb = self.browser_page.locator(".viewer").get_by_role("slider", name="Slice")
        thumb.focus()
        aim = int(re.findall(r"slice (\d+) of", self.slice_text)[0]) + by
        for _ in range(abs(by)):
            thumb.press("ArrowRight" if by > 0 else "ArrowLeft")
        self.expect_said(re.compile(f"slice {aim} of"))

    def expect_said(self, words: str | re.Pattern[str]) -> None:
        """Wait until the large plane shows that."""
        expect(self.browser_page.locator(".viewer .said")).to_have_text(words, timeout=REACT_S * 1000)

    @property
    def plane(self) -> Locator:
        """The large plane."""
        return self.browser_page.locator(".viewer canvas.main")

    def press(self, label: str) -> None:
        """Press a button of the viewer."""
        self.browser_page.locator(".viewer").get_by_role("button", name=label, exact=True).click()
        self.browser_page.wait_for_timeout(100)  # until the next frame is drawn

    def viewer_pixels(self) -> NDArray[np.uint8]:
        """The slice as it stands on the screen, (rows, columns, 3)."""
        shot = self.plane.screenshot()
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB"))

    def count_pixels(self, colour: tuple[int, int, int], tolerance: int = 40) -> int:
        """How many pixels of the slice on the screen have about that colour."""
        far = np.abs(self.viewer_pixels().astype(int) - colour).max(axis=-1)
        return int((far <= tolerance).sum())

    def lesion_rows(self) -> list[dict[str, str]]:
        """The lesion table as a screen reader finds it, drawn after the slice; fails without one."""
        table = self.browser_page.get_by_test_id("stDataFrame").locator("table").first
        expect(table.locator("tbody tr").first).to_be_attached(timeout=REACT_S * 1000)
        heads = table.locator("th").all_text_contents()
        rows = table.locator("tbody tr").all()
        return [dict(zip(heads, row.locator("td").all_text_contents(), strict=False)) for row in rows]

    def pick_lesion(self, row: int, across_px: int = 16) -> None:
        """Tick a row of the lesion table, or click into it, and wait until its slice is shown."""
        box = self.browser_page.get_by_test_id("stDataFrame").locator("canvas").first.bounding_box()
        assert box is not None
        self.browser_page.mouse.click(box["x"] + across_px, box["y"] + 35 * (row + 1) + 17)
        self.expect_said(re.compile(rf"lesion.*\b{row + 1}\b"))
        self.settle()

    def download(self, label: str, folder: Path) -> Path:
        """Press a download button and keep the file."""
        with self.browser_page.expect_download() as waiting:
            self.button(label).click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def text(self) -> str:
        """All visible text."""
        return self.browser_page.locator("body").inner_text()

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is visible."""
        self.browser_page.screenshot(path=path)

    def _wait_for_files(self, paths: Sequence[Path]) -> None:
        """Wait until all are with the page, which lists the last of them first and shortens long names."""
        expect(self.button(f"Remove {paths[-1].name}")).to_be_visible(timeout=60_000)
        self.settle()

    def _on_request(self, request: Request | WebSocket) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in LOCAL_HOSTS:
            self.strange_requests.append(request.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console_errors.append(message.text)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium; the test is skipped, saying so, where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: the page is not tested in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(url: str, browser: Browser) -> Iterator[MetsegPage]:
    """A new visitor, without cookies, of the page at `url`."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    try:
        yield MetsegPage(context.new_page(), url)
    finally:
        context.close()


@contextmanager
def page_process(api_url: str, port: int, log: Path) -> Iterator[str]:
    """The page as its own process, asking the API at `api_url`; yields the page's address."""
    environ = {**os.environ, "METSEG_API_URL": api_url, "METSEG_UI_PORT": str(port), "METSEG_HOST": "127.0.0.1"}
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "metseg_ui"], env=environ, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_healthy(process, f"{url}/_stcore/health", log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the page did not start:\n{log.read_text()}")
