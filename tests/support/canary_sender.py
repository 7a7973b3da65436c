"""Sends jobs with a patient's name in everything beside the file, and keeps every answer."""

from uuid import uuid4

import httpx
from canary import BEARERS, HEADERS, NAME, PATIENT
from workplace import wait_for

ENDED_WITHIN_S = 280


class Sender:
    """A client of the API whose `answers` are the headers and bodies of all that it got, without the `BEARERS`."""

    def __init__(self, url: str, webhook_url: str) -> None:
        self.answers: list[bytes] = []
        self._webhook_url = webhook_url
        hooks = {"response": [self._keep]}
        self.http = httpx.Client(base_url=url, timeout=120, headers=HEADERS, event_hooks=hooks)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def send(self, scan: bytes, earlier: bytes | None = None) -> str:
        """The path of a job, with an earlier scan to compare with where one is given."""
        given = {"file": scan} | ({} if earlier is None else {"previous_file": earlier})
        answer = self.http.post(
            "/v1/jobs",
            files={
                field: (f"{NAME}.dcm", content, f"application/{NAME}", {"X-Part": PATIENT})
                for field, content in given.items()
            },
            data={"webhook_url": self._webhook_url},
            headers={"Idempotency-Key": f"{NAME} {uuid4()}"},
        )
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def reach(self, path: str, stage: str) -> None:
        """Wait until a job is in a stage."""
        wait_for(lambda: (self.http.get(path).json()["progress"] or {}).get("stage") == stage)

    def end(self, path: str) -> str:
        """How a job ended: its state, or the code of its failure."""

        def ended() -> dict:
            job = self.http.get(path).json()
            return {} if job["state"] in ("queued", "running") else job

        job = wait_for(ended, timeout_s=ENDED_WITHIN_S)
        return job["error"]["code"] if job["error"] else job["state"]

    def fetch_all(self, path: str) -> None:
        """Take every artefact, and the events."""
        for artefact in self.http.get(f"{path}/result").json()["artefacts"]:
            self.http.get(artefact["href"])
        self.http.get(f"{path}/events")

    def be_refused(self, job_path: str) -> None:
        """Ask for what there is not, with the name in every place that a request has."""
        for field in ("model", "threshold", "spacing_mm", "priority", "webhook_url", NAME):
            self._post(data={field: PATIENT}, files={"file": (NAME, b"x")})
        for kind in (f"multipart/form-data; boundary={NAME}", f"text/{NAME}"):
            self._post(content=f"--{NAME}\r\n{PATIENT}", headers={"Content-Type": kind})
        for path in (f"/{NAME}", f"/v1/jobs/{NAME}", f"{job_path}/result/{NAME}", f"{job_path}?{NAME}={NAME}"):
            self.http.get(path)
        for query in ("limit", "cursor", "state", NAME):
            self.http.get("/v1/jobs", params={query: NAME})
        for header in ("Range", "If-Range", "Prefer", "Last-Event-ID", "Authorization", "traceparent", "Accept"):
            for path in (job_path, f"{job_path}/events", f"{job_path}/result/report.json"):
                self.http.get(path, headers={header: NAME})
        self.http.request(NAME.upper(), job_path)

    def _post(self, **how: object) -> None:
        assert self.http.post("/v1/jobs", **how).is_client_error

    def _keep(self, answer: httpx.Response) -> None:
        answer.read()
        self.answers.append(repr(answer.headers.multi_items()).encode())
        if not answer.request.url.path.endswith(BEARERS):
            self.answers.append(answer.content)
