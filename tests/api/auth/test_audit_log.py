"""The audit trail: every deed in it, and no entry to be touched unseen."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from api_service import ApiService

from metseg.storage.blob_store import BlobStore
from metseg.storage.open import open_blob_store
from metseg_api.auth.audit_log import Action, AuditEntry, AuditError, AuditEvent, AuditTrail, Head


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return open_blob_store(str(tmp_path / "store"))


def deed(number: int) -> AuditEvent:
    return AuditEvent(action=Action.SUBMIT, key_id="0badcafe", owner="anna", job_id=f"job {number}")


def written(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "store" / "audit").rglob("*.json"))


def test_submitting_downloading_cancelling_and_deleting_are_told_in_order(
    own_api: ApiService, tmp_path: Path
) -> None:
    ended = own_api.submitted()
    own_api.succeed(ended, {"mask.nii.gz": b"mask"}, tmp_path)
    path = f"/v1/jobs/{ended}/result/mask.nii.gz"
    answer = own_api.http.get(path)
    own_api.http.get(path, headers={"If-None-Match": answer.headers["etag"]})  # nothing is handed out
    own_api.http.head(path)
    waiting = own_api.submitted()
    own_api.http.post(f"/v1/jobs/{waiting}/cancel")
    own_api.http.post(f"/v1/jobs/{waiting}/cancel")  # refused
    own_api.http.delete(f"/v1/jobs/{ended}")
    audit_logger = [entry.deed for entry in AuditTrail(own_api.jobs.blobs).entries()]
    assert [(one.action, one.job_id) for one in audit_logger] == [
        ("submit", ended),
        ("download", ended),
        ("submit", waiting),
        ("cancel", waiting),
        ("delete", ended),
    ]
    assert audit_logger[1].subject == "mask.nii.gz"
    assert audit_logger[1].request_id == answer.headers["x-request-id"]


def test_a_refused_upload_is_no_deed(own_api: ApiService) -> None:
    own_api.submit(b"")
    own_api.submit(threshold="7")
    assert list(AuditTrail(own_api.jobs.blobs).entries()) == []


def test_many_writers_make_one_chain(blobs: BlobStore) -> None:
    trails = [AuditTrail(blobs) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        entries = list(pool.map(lambda number: trails[number % 3].append(deed(number)), range(30)))
    assert sorted(entry.number for entry in entries) == list(range(1, 31))
    assert {entry.deed.job_id for entry in AuditTrail(blobs).entries()} == {f"job {n}" for n in range(30)}
    assert AuditTrail(blobs).verify().number == 30


def test_a_trail_goes_on_behind_its_last_entry_and_over_the_end_of_a_folder(
    blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg_api.auth.audit_log.FOLDER_ENTRIES", 3)
    for number in range(7):
        AuditTrail(blobs).append(deed(number))
    assert AuditTrail(blobs).verify().number == 7


def test_an_empty_trail_is_whole(blobs: BlobStore) -> None:
    assert AuditTrail(blobs).verify() == Head()


@pytest.mark.parametrize("touch", ["change", "remove", "swap", "damage"])
def test_an_entry_that_is_touched_breaks_the_chain(blobs: BlobStore, tmp_path: Path, touch: str) -> None:
    trail = AuditTrail(blobs)
    for number in range(4):
        trail.append(deed(number))
    second, third = written(tmp_path)[1:3]
    if touch == "change":
        second.write_text(second.read_text().replace("anna", "bert"))
    elif touch == "remove":
        second.unlink()
    elif touch == "damage":
        second.write_text("{")
    else:
        texts = second.read_text(), third.read_text()
        second.write_text(texts[1])
        third.write_text(texts[0])
    with pytest.raises(AuditError):
        trail.verify()


def test_a_tail_that_was_cut_off_shows_by_the_head_that_was_noted(blobs: BlobStore, tmp_path: Path) -> None:
    trail = AuditTrail(blobs)
    for number in range(4):
        trail.append(deed(number))
    head = trail.verify()
    trail.append(deed(5))
    assert trail.verify(head).number == 5
    for path in written(tmp_path)[2:]:
        path.unlink()
    assert trail.verify().number == 2
    with pytest.raises(AuditError, match="noted"):
        trail.verify(head)


def test_a_deed_that_cannot_be_told_is_not_done(own_api: ApiService) -> None:
    job_id = own_api.submitted()
    audit = own_api.store / "audit"
    for path in sorted(audit.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    audit.rmdir()
    audit.write_text("no folder any more")
    assert own_api.http.delete(f"/v1/jobs/{job_id}").status_code == 503
    assert own_api.submit().status_code == 503
    assert own_api.jobs.ids() == [job_id]


def test_an_entry_reads_back_as_it_was_written(blobs: BlobStore, tmp_path: Path) -> None:
    entry = AuditTrail(blobs).append(deed(1))
    [path] = written(tmp_path)
    assert AuditEntry.model_validate(json.loads(path.read_text())) == entry


class CountingReads:
    """A store that counts how often a blob is read."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs, self.reads = blobs, 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        return self._blobs.get(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


def test_a_replica_that_was_idle_reads_the_last_entry_alone(blobs: BlobStore) -> None:
    counted = CountingReads(blobs)
    idle, busy = AuditTrail(cast(BlobStore, counted)), AuditTrail(blobs)
    idle.append(deed(0))
    for number in range(1, 40):
        busy.append(deed(number))
    assert idle.append(deed(40)).number == 41
    assert counted.reads == 1
    assert AuditTrail(blobs).verify().number == 41


@pytest.mark.timeout(30)
def test_a_folder_whose_first_entry_is_not_there_yet_ends_no_trail(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg_api.auth.audit_log.FOLDER_ENTRIES", 3)
    for number in range(2):
        AuditTrail(blobs).append(deed(number))
    (tmp_path / "store" / "audit" / "000000001").mkdir()
    assert AuditTrail(blobs).append(deed(2)).number == 3
    assert AuditTrail(blobs).verify().number == 3
