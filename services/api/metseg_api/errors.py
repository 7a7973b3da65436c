"""What the API itself refuses; the errors of `metseg.errors` come on top.

    RequestError
    ├─ FileMissingError, UploadTooLargeError, UploadTimeoutError, MultipartError, MediaTypeError
    ├─ AmbiguousRequestError, HostRefusedError, OriginRefusedError
    ├─ KeyRequiredError (TokenRefusedError), ScopeMissingError
    └─ KeyReusedError, RangeError, WebhookRefusedError
    RetryLaterError
    ├─ KeyInFlightError, RateLimitedError, QuotaError
    └─ QueueFullError, StoreFullError, TooManyUploadsError, TooManyFollowersError, IssuerUnavailableError
    JobError
    └─ ArtefactNotFoundError, WebhookNotFoundError, ResultNotReadyError (a JobStateError)

`metseg_api.problem_details` tells how each looks on the wire.
"""

from metseg import errors
from metseg.schemas.job import Failure, JobState


class RetryLaterError(errors.MetsegError):
    """The request is sound and comes too early or too often.

    Attributes:
        retry_after_s: When it makes sense again, in seconds from now.
    """

    code = "retry_later"

    def __init__(self, message: str, retry_after_s: float = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeyInFlightError(RetryLaterError):
    """The first upload with this Idempotency-Key is still on its way."""

    code = "idempotency_key_in_flight"


class RateLimitedError(RetryLaterError):
    """The key asked too often in the last minute."""

    code = "rate_limited"


class QuotaError(RetryLaterError):
    """The owner has as many jobs under way as one may have."""

    code = "quota_exceeded"


class QueueFullError(RetryLaterError):
    """The queue is full."""

    code = "queue_full"


class StoreFullError(RetryLaterError):
    """The store has too little room left to take an upload."""

    code = "store_full"


class TooManyUploadsError(RetryLaterError):
    """As many uploads are under way as one process takes at once."""

    code = "too_many_uploads"


class TooManyFollowersError(RetryLaterError):
    """As many requests as one process bears are following jobs."""

    code = "too_many_followers"


class IssuerUnavailableError(RetryLaterError):
    """The keys of the issuer of tokens are not known, and it does not answer."""

    code = "issuer_unavailable"


class FileMissingError(errors.RequestError):
    """The form holds no file."""

    code = "file_missing"


class UploadTooLargeError(errors.RequestError):
    """More bytes came than one upload may have."""

    code = "upload_too_large"


class UploadTimeoutError(errors.RequestError):
    """The upload timed out: no bytes came for too long, or too few."""

    code = "upload_timeout"


class MultipartError(errors.RequestError):
    """The body is not the multipart form that its header promises."""

    code = "multipart_invalid"


class MediaTypeError(errors.RequestError):
    """The body is of a media type that this route does not take."""

    code = "media_type_unsupported"


class AmbiguousRequestError(errors.RequestError):
    """The request can be read in more than one way."""

    code = "request_ambiguous"


class HostRefusedError(errors.RequestError):
    """The request was meant for another host."""

    code = "host_refused"


class OriginRefusedError(errors.RequestError):
    """A web page of another origin sent the request."""

    code = "origin_refused"


class KeyReusedError(errors.RequestError):
    """An Idempotency-Key came again with another body."""

    code = "idempotency_key_reused"


class KeyRequiredError(errors.RequestError):
    """No API key came, or none that counts."""

    code = "key_required"


class TokenRefusedError(KeyRequiredError):
    """The bearer token is not one that counts here."""

    code = "token_refused"


class ScopeMissingError(errors.RequestError):
    """The key is not good for this."""

    code = "scope_missing"


class WebhookRefusedError(errors.RequestError):
    """A webhook may not go to the address that was given, or could not be signed."""

    code = "webhook_refused"


class RangeError(errors.RequestError):
    """The range asked for lies outside the artefact."""

    code = "range_not_satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The artefact has {size_bytes} bytes; the range lies outside.")
        self.size_bytes = size_bytes


class ArtefactNotFoundError(errors.JobError):
    """The job has no artefact of that name."""

    code = "artefact_not_found"


class WebhookNotFoundError(errors.JobError):
    """The job has no webhook."""

    code = "webhook_not_found"


class ResultNotReadyError(errors.JobStateError):
    """A result is asked of a job that has none, yet or ever."""

    def __init__(self, state: JobState, failure: Failure | None) -> None:
        told = f": {failure.message}" if failure else ""
        super().__init__(f"The job is {state.value} and has no result{told}")
        self.state = state
        self.failure = failure
