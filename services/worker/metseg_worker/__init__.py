"""The worker: reads a scan, runs the network, measures lesions and writes the results."""

__all__ = ["run_job"]


def run_job(job_id: str, attempt: int) -> None:
    """Run one attempt at a job; queue entries name this function (`metseg.queue.allow_list.FUNCTION`).

    The name stays the same however modules move, so that entries that wait in Redis during an upgrade still run.

    Args:
        job_id: Of a job in the store.
        attempt: Its number, from 1.
    """
    from metseg_worker.attempt.run import run_job as run

    run(job_id, attempt)
