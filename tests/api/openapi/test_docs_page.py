"""`/docs`: the page in a real Chromium that can reach nothing but the API, and its files as they are served."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from api_service import ApiService, problem
from page import chromium
from playwright.sync_api import Locator, Page, Route, expect

SLICE = Path(__file__).parents[3] / "samples" / "phantom_slice.png"
FILES = ["/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/start.js"]


@contextmanager
def docs_page(url: str) -> Iterator[Page]:
    """The page of an API; it must ask no other host, and violate no policy of its own."""
    refused: list[str] = []
    complaints: list[str] = []

    def only_the_api(route: Route) -> None:
        if urlsplit(route.request.url).netloc == urlsplit(url).netloc:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1300, "height": 1600}).new_page()
        page.route("**/*", only_the_api)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
        page.goto(f"{url}/docs")
        yield page
    assert refused == []
    assert complaints == []


def try_out(page: Page, operation_id: str) -> Locator:
    """Open an operation for trying it out; return its part of the page."""
    operation = page.locator(f".opblock[id$=-{operation_id}]")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


def execute(operation: Locator) -> tuple[int, str]:
    """Send the request as it stands; return the status and the body of the answer as the page shows them."""
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response")
    expect(answer).to_be_visible(timeout=15_000)
    return int(answer.locator(".response-col_status").inner_text().split()[0]), answer.locator(
        "pre"
    ).first.inner_text()


def send_slice(page: Page) -> str:
    """Send the sample slice with all else left as it is; return the job's id."""
    submission = try_out(page, "submit_job")
    submission.locator("input[type=file]").first.set_input_files(SLICE)
    status, body = execute(submission)
    assert status == 202, body
    return str(json.loads(body)["id"])


@pytest.mark.browser
@pytest.mark.slow
def test_a_scan_is_sent_and_its_job_read_by_hand_with_a_key(locked: ApiService) -> None:
    with locked.as_owner("anna") as anna:
        key = anna.headers["authorization"].removeprefix("Bearer ")
    with docs_page(locked.url) as page:
        assert execute(try_out(page, "list_jobs"))[0] == 401

        page.get_by_role("button", name="Authorize").click()
        dialog = page.locator(".auth-container")
        dialog.locator("input").fill(key)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").click()
        job_id = send_slice(page)

        reading = try_out(page, "get_job")
        reading.locator("tr[data-param-name=job_id] input").fill(job_id)
        assert json.loads(execute(reading)[1])["id"] == job_id
        assert key not in json.dumps(page.context.storage_state())
    record = locked.jobs.load(job_id)
    assert record.owner == "anna"
    assert [file.size_bytes for file in record.inputs] == [SLICE.stat().st_size]
    assert record.previous_inputs == []
    assert record.request.model_dump(exclude_defaults=True) == {}


@pytest.mark.browser
@pytest.mark.slow
def test_a_scan_is_sent_by_hand_where_no_key_is_needed(api: ApiService) -> None:
    with docs_page(api.url) as page:
        assert api.jobs.load(send_slice(page)).owner is None


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_the_page_needs_no_key_and_may_load_nothing_from_elsewhere(
    locked: ApiService, path: str
) -> None:
    answer = locked.http.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not {"unsafe-inline", "unsafe-eval", "http:", "https:", "*"} & set(
        re.findall(r"[\w*:-]+", "; ".join(policy))
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", ["/redoc", "/docs/", "/docs/oauth2-redirect", "/docs/__init__.py", "/docs/..%2fmain.py"]
)
def test_there_is_no_other_page(locked: ApiService, path: str) -> None:
    problem(locked.http.get(path), 404, "route_not_found")


def test_the_document_does_not_list_the_page(locked: ApiService) -> None:
    assert not [path for path in locked.http.get("/v1/openapi.json").json()["paths"] if path.startswith("/docs")]
