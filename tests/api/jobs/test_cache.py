"""What the API remembers of jobs."""

from api_service import ApiService

EARLIER = [("file", ("a", b"now")), ("previous_file", ("b", b"earlier")), ("previous_file", ("c", b"earlier too"))]


def test_the_files_of_a_remembered_job_take_no_room(api: ApiService) -> None:
    job_id = api.http.post("/v1/jobs", files=EARLIER).json()["id"]
    assert len(api.jobs.load(job_id).previous_inputs) == 2
    record = api.app.state.backends.known.record(job_id)
    assert (record.inputs, record.previous_inputs) == ([], [])
