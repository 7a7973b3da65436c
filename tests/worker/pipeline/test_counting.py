"""What an attempt adds to the totals that `/metrics` tells."""

from hostile_files import nifti
from workplace import Workplace


def totals(place: Workplace) -> dict[str, float]:
    counted = place.dispatcher.totals()
    names = ("ended:succeeded:", "ended:failed:input_empty", "times:read", "times:predict", "times:total")
    return {name: counted.get(name, 0) for name in names}


def test_a_job_that_succeeds_is_counted_once_with_the_time_of_its_stages(place: Workplace):
    before = totals(place)
    job_id = place.submit(nifti())
    place.attempt(job_id)
    place.attempt(job_id, 2)  # of a job that has ended: skipped
    after = totals(place)
    assert {name: after[name] - before[name] for name in after} == {
        "ended:succeeded:": 1,
        "ended:failed:input_empty": 0,
        "times:read": 1,
        "times:predict": 1,
        "times:total": 1,
    }
    assert place.dispatcher.totals()["seconds:total"] > 0


def test_a_job_that_fails_is_counted_under_its_code(place: Workplace):
    before = totals(place)
    place.attempt(place.submit(b""))
    assert totals(place)["ended:failed:input_empty"] == before["ended:failed:input_empty"] + 1
