"""What may be run out of the queue: one function, with a job id and an attempt.

RQ imports whatever function a queue entry names, and callbacks besides, so that a JSON serializer alone does
not keep anyone who can write to Redis from running code in the worker.
"""

from collections.abc import Mapping
from typing import Any, Final

from rq.exceptions import DeserializationError
from rq.job import Job
from rq.utils import import_attribute

from metseg.schemas.job import is_job_id

FUNCTION: Final = "metseg_worker.run_job"

FORMER_FUNCTIONS: Final = frozenset({"metseg_worker.run.run_job"})
"""Names of the same function in entries queued by 0.1."""


class AllowListJob(Job):
    """A queue entry that runs `run_job(job_id, attempt)` or fails without importing anything."""

    _callbacks_came = False

    def restore(self, raw_data: Mapping[Any, Any]) -> None:
        """Read the entry, dropping callbacks and webhooks, which RQ would import and call otherwise."""
        super().restore(raw_data)
        names = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        self._callbacks_came = any(names) or bool(self.webhooks)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    @property
    def refusal(self) -> str | None:
        """Why this entry must not run, or None when it may."""
        try:
            named, instance, args, kwargs = self.func_name, self.instance, self.args, self.kwargs
        except (DeserializationError, ValueError, TypeError):
            return "the entry is not a call in JSON"
        if named not in {FUNCTION, *FORMER_FUNCTIONS} or instance is not None:
            return "it names another function"
        if self._callbacks_came:
            return "it carries callbacks"
        if kwargs or [type(value) for value in args] != [str, int] or not is_job_id(args[0]):
            return "its arguments are not a job id and an attempt"
        return None

    @property
    def func(self) -> Any:
        """The allowed function; PermissionError when there is a `refusal`."""
        if (refusal := self.refusal) is not None:
            raise PermissionError(f"refused to run a queue entry: {refusal}")
        return import_attribute(FUNCTION)
