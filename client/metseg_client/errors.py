"""Every error the client raises on purpose.

ClientError
├─ ApiUnreachableError   api_unreachable    nobody answers, or the line broke
├─ ApiError              code of the API    the API said no, and why
├─ AnswerError           answer_invalid     the answer is not one of a metseg API
├─ DownloadError         download_damaged   an artefact is not what the manifest promises
├─ NoFileError           file_missing       there is nothing to send
└─ WaitTimeoutError      wait_timeout       the job is not final yet
"""


class ClientError(Exception):
    """Root of the client's errors; its text is a sentence for people.

    Attributes:
        code: stable name of the error, for programs.
    """

    code = "client_error"


class ApiUnreachableError(ClientError):
    """The API does not answer."""

    code = "api_unreachable"


class ApiError(ClientError):
    """The API refused or failed a request and said why (problem+json, RFC 9457).

    Attributes:
        code: the API's stable error code, e.g. `job_not_found`; `http_<status>` where none was given.
        title: the kind of problem in a few words.
        detail: the sentence for people; may be empty.
        status: the HTTP status.
        retry_after_s: seconds after which a second try makes sense; None if the API did not say.
    """

    def __init__(
        self, code: str, title: str, detail: str, status: int, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail or title)
        self.code = code
        self.title = title
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s


class AnswerError(ClientError):
    """The answer cannot be understood; most likely something else listens there."""

    code = "answer_invalid"


class DownloadError(ClientError):
    """An artefact is missing from the manifest, or its bytes do not match it."""

    code = "download_damaged"


class NoFileError(ClientError):
    """A folder that should hold a scan holds no file."""

    code = "file_missing"


class WaitTimeoutError(ClientError):
    """The job did not reach a final state in the time given."""

    code = "wait_timeout"
