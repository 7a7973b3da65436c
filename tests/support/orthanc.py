"""A PACS for tests: Debian's Orthanc with DICOMweb, on loopback and in a folder that goes with it."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis_fixture import free_port

PLUGIN = "share/orthanc/plugins/libOrthancDicomWeb.so"
FOLDERS = (Path(sys.prefix) / "dicom" / "usr", Path("/usr"))
BOUNDARY = "between-objects"


def program(name: str) -> str:
    """Where a DICOM program is; the test is skipped where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here, so it does not judge (deploy/local/system_parts.sh dicom)")
    return found


class Pacs:
    """Speaks DICOMweb (PS3.18) to an Orthanc."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def is_there(self) -> bool:
        try:
            return self._http.get("/system").is_success
        except httpx.TransportError:
            return False

    def store(self, objects: list[bytes]) -> dict:
        """Store objects by STOW-RS; its answer."""
        parts = [
            b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (BOUNDARY.encode(), one) for one in objects
        ]
        answer = self._http.post(
            "/dicom-web/studies",
            content=b"".join(parts) + b"--%s--" % BOUNDARY.encode(),
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
                "Accept": "application/dicom+json",
            },
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def series(self, study: str) -> dict[str, dict]:
        """What QIDO-RS says of the series of a study, by modality."""
        answer = self._http.get(f"/dicom-web/studies/{study}/series", headers={"Accept": "application/dicom+json"})
        return {one["00080060"]["Value"][0]: one for one in answer.json()}

    def fetch(self, study: str, series: str, instance: str) -> bytes:
        """An object by WADO-RS, out of its multipart answer."""
        answer = self._http.get(f"/dicom-web/studies/{study}/series/{series}/instances/{instance}")
        assert answer.status_code == 200, answer.text
        content = answer.content
        start = content.index(b"\r\n\r\n") + 4
        return content[start : content.rindex(b"\r\n--")]


@contextmanager
def running_pacs(folder: Path) -> Iterator[Pacs]:
    """Start an Orthanc whose files are in a folder, and end it."""
    binary, port = program("Orthanc"), free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "objects"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [str(one / PLUGIN) for one in FOLDERS if (one / PLUGIN).exists()],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (
        (folder / "orthanc.log").open("wb") as log,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
        subprocess.Popen([binary, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder) as process,
    ):
        pacs, until = Pacs(http), time.monotonic() + 60
        try:
            while not pacs.is_there():
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"Orthanc does not start: {(folder / 'orthanc.log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield pacs
        finally:
            process.terminate()
            process.wait(30)
