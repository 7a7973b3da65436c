"""Cancelling and deleting jobs, also while Redis is down."""

import errno
import os
import stat
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from following import end, progress
from redis_fixture import RedisServer

from metseg.schemas.job import JobState
from metseg_api.auth.audit_log import Action, AuditTrail


def test_a_waiting_job_is_cancelled_at_once(api: ApiService) -> None:
    job_id = api.submitted()
    answer = api.http.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    final = api.jobs.final(job_id)
    assert final is not None
    assert final.state is JobState.CANCELLED
    assert problem(api.http.post(f"/v1/jobs/{job_id}/cancel"), 409, "job_state")
    assert problem(api.http.get(f"/v1/jobs/{job_id}/result"), 409, "job_state")["state"] == "cancelled"


def test_a_running_job_is_asked_to_stop_and_stays_running_until_it_did(api: ApiService) -> None:
    job_id = api.submitted()
    api.jobs.claim(job_id, 1)
    answer = api.http.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["cancel_requested"]) == ("running", True)
    assert api.dispatcher.cancel_requested(job_id)
    assert api.jobs.final(job_id) is None


def test_a_deleted_job_is_gone_with_all_its_bytes(api: ApiService) -> None:
    job_id = api.submit(b"a patient's head").json()["id"]
    api.jobs.claim(job_id, 1)
    assert api.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    problem(api.http.get(f"/v1/jobs/{job_id}"), 410, "job_gone")
    problem(api.http.get(f"/v1/jobs/{job_id}/result"), 410, "job_gone")
    problem(api.http.get(f"/v1/jobs/{job_id}/result/mask.nii.gz"), 410, "job_gone")
    problem(api.http.post(f"/v1/jobs/{job_id}/cancel"), 410, "job_gone")
    problem(api.http.delete(f"/v1/jobs/{job_id}"), 410, "job_gone")
    assert api.http.get("/v1/jobs").json()["items"] == []
    assert api.dispatcher.cancel_requested(job_id)
    assert api.stored() == [f"jobs/{job_id}", f"jobs/{job_id}/tombstone.json"]


def test_jobs_are_readable_and_deletable_while_redis_is_down(
    tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer
) -> None:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(tmp_path, redis_url=redis_server.url, serving_at=own_status_server.target)
    with serving(settings) as api:
        waiting, running, ended, deleted = (api.submitted() for _ in range(4))
        api.jobs.claim(running, 1)
        api.dispatcher.write_progress(running, progress(0.5))
        end(api, ended)
        redis_server.stop()
        states = {job["id"]: job["state"] for job in api.http.get("/v1/jobs").json()["items"]}
        assert states == {waiting: "queued", running: "running", ended: "failed", deleted: "queued"}
        assert api.http.post(f"/v1/jobs/{waiting}/cancel").json()["state"] == "cancelled"
        problem(api.http.post(f"/v1/jobs/{running}/cancel"), 503, "queue_unavailable")
        assert api.http.delete(f"/v1/jobs/{deleted}").status_code == 204
        redis_server.start()
        assert api.submit().status_code == 202


def test_a_job_is_deleted_on_a_full_disk_and_told_of(
    own_api: ApiService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = own_api.submitted()
    own_api.succeed(job_id, {"mask.nii.gz": b"mask"}, tmp_path)
    sync, folder = os.fsync, own_api.store / "jobs" / job_id

    def sync_where_there_is_room(descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if is_file and ((folder / "input" / "0").exists() or (folder / "attempts").exists()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr("metseg.storage.local.os.fsync", sync_where_there_is_room)
    assert own_api.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert own_api.http.get(f"/v1/jobs/{job_id}").status_code == 410
    *_, last = AuditTrail(own_api.jobs.blobs).entries()
    assert (last.deed.action, last.deed.job_id) == (Action.DELETE, job_id)
    assert [path.name for path in folder.rglob("*")] == ["tombstone.json"]
