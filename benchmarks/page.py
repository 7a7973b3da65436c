"""The page in Chromium: `make start`, then `python -m benchmarks.page`; ends with one line of JSON.

The sample is dropped on the page of the running stack (`--page`, http://127.0.0.1:8501), and its result is leafed
through. Memory is the resident memory of the page's process on this machine, with all visits open at once.
"""

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from deploy.local.settings import ROOT
from metseg_client import MetsegClient

CHROMIUM = os.environ.get("METSEG_TEST_CHROMIUM", "/usr/bin/chromium")
SCREEN: ViewportSize = {"width": 1440, "height": 900}
STEPS = 120
HELD = 60
VISITS = (1, 5, 20)
READY = ".viewer[data-state=ready]"
STEP_THROUGH = """async (steps) => {
  const canvas = deep(document, 'canvas.main');
  function deep(root, selector) {
    const found = root.querySelector(selector);
    if (found) return found;
    for (const one of root.querySelectorAll('*')) {
      const inner = one.shadowRoot && deep(one.shadowRoot, selector);
      if (inner) return inner;
    }
    return null;
  }
  const begun = performance.now();
  for (let step = 0; step < steps; step++) {
    const key = step % 60 < 30 ? 'ArrowUp' : 'ArrowDown';
    canvas.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true }));
    await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  }
  return performance.now() - begun;
}"""


def main() -> int:
    """Print what is measured, and the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", default="http://127.0.0.1:8501")
    parser.add_argument("--api", default="http://127.0.0.1:8000")
    parser.add_argument("--scan", type=Path, default=ROOT / "samples" / "phantom_demo.nii.gz")
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport=SCREEN)
        told = drop(page, given.page, given.api, given.scan)
        job_id = page.url.partition("job=")[2].partition("&")[0]
        told |= leaf_through(page)
        page.close()
        told |= remember(browser, f"{given.page}/?job={job_id}")
        browser.close()
    for name, value in told.items():
        sys.stdout.write(f"{name:24}{value}\n")
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def drop(page: Page, address: str, api: str, scan: Path) -> dict[str, float]:
    """Drop a scan, and time what passes between the job's end and its picture."""
    page.goto(address)
    page.locator("input[type=file]").first.set_input_files(scan)
    page.get_by_role("button", name="Find lesions").click()
    page.wait_for_url("**/?job=*", timeout=60_000)
    page.locator(READY).wait_for(timeout=600_000)
    seen_at = time.time()
    with MetsegClient(api, api_key=os.environ.get("METSEG_API_KEY")) as client:
        job = client.job(page.url.partition("job=")[2].partition("&")[0])
    assert job.finished_at is not None
    return {"drop_to_picture_s": round(seen_at - job.finished_at.timestamp(), 2)}


def leaf_through(page: Page) -> dict[str, float]:
    """Step through slices as fast as they are drawn, and press a key as often as a reader who holds it."""
    session = page.context.new_cdp_session(page)
    received: list[int] = []
    session.on("Network.dataReceived", lambda event: received.append(event["encodedDataLength"]))
    session.on(
        "Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]))
    )
    session.send("Network.enable")
    elapsed_s = page.evaluate(STEP_THROUGH, STEPS) / 1000
    by_step = sum(received) / STEPS
    page.locator(".viewer canvas.main").focus()
    page.keyboard.press("Home")
    for _ in range(HELD):
        page.keyboard.press("ArrowUp")
    page.wait_for_timeout(200)
    shown = int(page.locator(".viewer .said").inner_text().split("slice ")[1].split()[0]) - 1
    return {
        "slice_steps_per_s": round(STEPS / elapsed_s, 1),
        "bytes_per_step": round(by_step),
        "held_keys_shown": shown,
        "held_keys": HELD,
    }


def remember(browser: Browser, address: str) -> dict[str, float]:
    """Open more and more visits to one result, and look at the page's memory."""
    process = page_process(urlsplit(address).port or 80)
    before = resident_mb(process)
    visits: list[Page] = []
    told: dict[str, float] = {}
    for count in VISITS:
        while len(visits) < count:
            visits.append(browser.new_context(viewport=SCREEN).new_page())
            visits[-1].goto(address)
            visits[-1].locator(READY).wait_for(timeout=120_000)
        told[f"mb_{count}_visits"] = round(resident_mb(process) - before, 1)
    told["mb_per_visit"] = round((told["mb_20_visits"] - told["mb_1_visits"]) / (VISITS[-1] - 1), 2)
    return told


def page_process(port: int) -> psutil.Process:
    """The process that listens on a port."""
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr[1] == port and one.pid:
            return psutil.Process(one.pid)
    raise SystemExit(f"nothing listens on port {port} of this machine")


def resident_mb(process: psutil.Process) -> float:
    """Resident memory in MiB."""
    gc.collect()
    return float(process.memory_info().rss) / (1 << 20)


if __name__ == "__main__":
    sys.exit(main())
