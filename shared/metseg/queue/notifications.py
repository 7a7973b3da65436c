"""Hears from Redis which jobs have changed, at the moment they do.

Nothing is lost with what is not heard: those who follow a job look at it every now and then all the same.
"""

from collections.abc import Callable
from threading import Event
from typing import Final, cast

from metseg.errors import QueueUnavailableError
from metseg.queue.redis import NEWS_CHANNEL, connect, redis_errors
from metseg.schemas.job import is_job_id

STOPS_WITHIN_S: Final = 0.5
AGAIN_AFTER_S: Final = 1.0


class JobNotifications:
    """Listens to what `Dispatcher.write_progress` and `Dispatcher.tell_end` publish."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)

    def listen(self, heard: Callable[[str], object], stop: Event) -> None:
        """Pass on the id of each job that changes, until told to stop; begun again whenever Redis is back."""
        while not stop.is_set():
            try:
                self._listen(heard, stop)
            except QueueUnavailableError:
                stop.wait(AGAIN_AFTER_S)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _listen(self, heard: Callable[[str], object], stop: Event) -> None:
        channel = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # its own lack
        with redis_errors(), channel:
            channel.subscribe(NEWS_CHANNEL)
            while not stop.is_set():
                message = channel.get_message(timeout=STOPS_WITHIN_S)
                job_id = cast(bytes, message["data"]).decode(errors="replace") if message else ""
                if is_job_id(job_id):  # anything may be published, if somebody else can write there
                    heard(job_id)
