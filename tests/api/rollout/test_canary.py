"""Which version a job gets: the labels and the share, through the API."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from api_service import ApiService, api_settings, problem, serving, write_cards

from metseg.schemas.job import DEFAULT_MODEL, ModelRef, new_job_id
from metseg.serving.proto.serving_wire_pb2 import ModelServerConfig
from metseg_api.rollout.selection import is_in_share
from metseg_api.rollout.serving_config import CONFIG_FILE, Labels, entry_of, set_labels, write_config


@pytest.fixture
def api_with(tmp_path, shared_redis, own_status_server):
    """An API with a share of its own, whose versions 1 and 2 are served."""

    @contextmanager
    def running(share: float, **settings: float) -> Iterator[ApiService]:
        if not (tmp_path / "models").exists():
            write_cards(tmp_path / "models", {DEFAULT_MODEL: [1, 2]})
        at = {"redis_url": shared_redis.url, "serving_at": own_status_server.target}
        with serving(api_settings(tmp_path, **at, canary_share=share, **settings)) as api:
            yield api

    return running


def label(api: ApiService, stable: int, canary: int | None = None) -> None:
    config = ModelServerConfig()
    set_labels(entry_of(config, DEFAULT_MODEL), Labels(stable=stable, canary=canary), {1, 2})
    write_config(api.settings.models, config)


def versions(api: ApiService, jobs: int) -> list[int]:
    return [api.http.get(f"/v1/jobs/{api.submitted()}").json()["model"]["version"] for _ in range(jobs)]


def test_a_job_gets_the_newest_version_until_one_is_promoted(own_api):
    api = own_api
    assert versions(api, 1) == [2]
    label(api, stable=1)
    assert versions(api, 1) == [1]
    listed = {one["name"]: one for one in api.http.get("/v1/models").json()["items"]}[DEFAULT_MODEL]
    assert (listed["stable"], listed["canary"], listed["card"]["version"]) == (1, None, 1)
    assert listed["served_versions"] == [2, 1]


@pytest.mark.parametrize(("share", "expected"), [(0.0, {1}), (0.5, {1, 2}), (1.0, {2})])
def test_the_canary_gets_its_share_of_the_jobs(api_with, share, expected):
    with api_with(share) as api:
        label(api, stable=1, canary=2)
        assert set(versions(api, 12)) == expected


def test_a_canary_that_cannot_answer_gets_no_job_and_a_stable_version_that_cannot_is_told(api_with):
    with api_with(1.0) as api:
        label(api, stable=1, canary=7)
        assert versions(api, 2) == [1, 1]
        label(api, stable=7)
        problem(api.submit(), 503, "serving_unavailable")
        listed = {one["name"]: one for one in api.http.get("/v1/models").json()["items"]}[DEFAULT_MODEL]
        assert (listed["served"], listed["stable"]) == (False, None)
        (api.settings.models / CONFIG_FILE).write_text("nonsense {")
        problem(api.submit(), 503, "serving_unavailable")


def test_a_canary_job_says_in_the_store_what_it_is_compared_with_and_no_other_job_does(api_with):
    with api_with(0.5) as api:
        label(api, stable=1, canary=2)
        records = [api.jobs.load(api.submitted()) for _ in range(12)]
    for record in records:
        compared = None if record.compared_with is None else record.compared_with.version
        assert compared == (1 if record.model.version == 2 else None)
    with api_with(1.0, canary_compared=0.0) as api:
        assert api.jobs.load(api.submitted()).compared_with is None


def test_agreement_is_told_by_model_and_pair_of_versions(own_api):
    canary = ModelRef(name=DEFAULT_MODEL, version=2, digest="")
    own_api.dispatcher.count_agreement(canary, 1, 0.5, same_count=True)
    own_api.dispatcher.count_agreement(canary, 1, 1.0, same_count=False)
    told = own_api.http.get("/metrics").text.splitlines()
    pair = f'{{canary="2",model="{DEFAULT_MODEL}",stable="1"}}'
    for sample in ("dice_sum", "dice_count", "same_count_total"):
        [line] = [line for line in told if line.startswith(f"metseg_canary_{sample}{{")]
        value = {"dice_sum": 1.5, "dice_count": 2.0, "same_count_total": 1.0}[sample]
        assert line == f"metseg_canary_{sample}{pair} {value}"


def test_the_share_is_kept_and_the_same_job_always_falls_to_the_same_side():
    jobs = [new_job_id() for _ in range(4000)]
    taken = [job for job in jobs if is_in_share(job, 0.1)]
    assert 300 < len(taken) < 500  # five standard deviations of 400
    assert [job for job in jobs if is_in_share(job, 0.1)] == taken
    assert set(taken) <= {job for job in jobs if is_in_share(job, 0.2)}
    assert not any(is_in_share(job, 0.0) for job in jobs)
    assert all(is_in_share(job, 1.0) for job in jobs)
