"""Every error metseg raises on purpose.

The class says what kind of thing went wrong, its `code` is stable and part of the API, and its message is a
sentence for people: what was expected and what came. A message never holds a file name or a header's text.

    MetsegError
    ├─ InputError                  input_unusable
    │   ├─ EmptyInputError         input_empty
    │   ├─ UnknownFormatError      input_format_unknown
    │   ├─ DamagedInputError       input_damaged
    │   ├─ InputTooLargeError      input_too_large
    │   ├─ InputTooSmallError      input_too_small
    │   ├─ UnsupportedInputError   input_unsupported
    │   ├─ NotFiniteError          input_not_finite
    │   ├─ GeometryError           input_geometry
    │   ├─ CompressionError        input_compression
    │   ├─ NotMrError              input_not_mr
    │   ├─ WrongBodyPartError      input_body_part
    │   ├─ TooManyLesionsError     input_too_many_lesions
    │   └─ SeriesError             series_unusable (and below it those of `metseg.imaging.series_errors`)
    ├─ RequestError                request_invalid
    │   └─ UnknownModelError       model_unknown
    ├─ ServingError                serving_failed
    │   ├─ ServingUnavailableError serving_unavailable
    │   ├─ ServingTimeoutError     serving_timeout
    │   ├─ ServingExhaustedError   serving_exhausted
    │   ├─ ServingInternalError    serving_internal
    │   └─ ServingContractError    serving_contract
    ├─ StoreError                  store_failed
    │   ├─ BlobNotFoundError       blob_not_found
    │   └─ StoreUnavailableError   store_unavailable (NoSpaceError likewise)
    ├─ QueueUnavailableError       queue_unavailable
    ├─ JobError                    job_failed
    │   ├─ JobNotFoundError        job_not_found
    │   ├─ JobGoneError            job_gone
    │   │   └─ AttemptGivenUpError attempt_given_up
    │   ├─ JobStateError           job_state
    │   ├─ JobCancelledError       job_cancelled
    │   ├─ JobTimeoutError         job_timeout
    │   └─ WorkerLostError         worker_lost
    ├─ ScratchFullError            scratch_full
    ├─ CardError                   card_invalid
    └─ SettingsError               settings_invalid
"""

from typing import ClassVar


class MetsegError(Exception):
    """Root of all errors that metseg raises on purpose."""

    code: ClassVar[str] = "metseg_error"


class InputError(MetsegError):
    """The file that came cannot be segmented.

    Attributes:
        of_previous: Whether it belongs to the uploaded prior.
    """

    code = "input_unusable"
    of_previous = False


class EmptyInputError(InputError):
    """The file has no bytes."""

    code = "input_empty"


class UnknownFormatError(InputError):
    """The bytes are of no format that metseg reads."""

    code = "input_format_unknown"


class DamagedInputError(InputError):
    """The format is known, but the file breaks off or contradicts itself."""

    code = "input_damaged"


class InputTooLargeError(InputError):
    """The image is larger, or unpacks to more, than the limits allow."""

    code = "input_too_large"


class InputTooSmallError(InputError):
    """The image has too few pixels to show anything."""

    code = "input_too_small"


class UnsupportedInputError(InputError):
    """The file is sound, but of a kind that is not segmented (4-D, complex, colour map, animation)."""

    code = "input_unsupported"


class NotFiniteError(InputError):
    """Voxels are NaN or infinite."""

    code = "input_not_finite"


class GeometryError(InputError):
    """The position in space is missing, not finite or collapsed."""

    code = "input_geometry"


class CompressionError(InputError):
    """The file is packed in a way that is not unpacked here."""

    code = "input_compression"


class NotMrError(InputError):
    """The image is none of a magnetic resonance scanner."""

    code = "input_not_mr"


class WrongBodyPartError(InputError):
    """The images do not show a head."""

    code = "input_body_part"


class TooManyLesionsError(InputError):
    """What was found falls into more parts than can be numbered, so it is noise."""

    code = "input_too_many_lesions"


class SeriesError(InputError):
    """The DICOM images that came are not one sound series."""

    code = "series_unusable"


class RequestError(MetsegError):
    """A parameter of a request is out of its range."""

    code = "request_invalid"


class UnknownModelError(RequestError):
    """No model, or no version of it, has that name."""

    code = "model_unknown"


class ServingError(MetsegError):
    """TF Serving refused or failed a request."""

    code = "serving_failed"


class ServingUnavailableError(ServingError):
    """TF Serving cannot be reached or has not loaded the model yet."""

    code = "serving_unavailable"


class ServingTimeoutError(ServingError):
    """TF Serving did not answer within the deadline."""

    code = "serving_timeout"


class ServingExhaustedError(ServingError):
    """TF Serving has no memory, or no room, for a request of this size now."""

    code = "serving_exhausted"


class ServingInternalError(ServingError):
    """TF Serving failed by an error of its own, which may pass."""

    code = "serving_internal"


class ServingContractError(ServingError):
    """The answer of TF Serving is not what the model card promises."""

    code = "serving_contract"


class StoreError(MetsegError):
    """The blob store failed."""

    code = "store_failed"


class BlobNotFoundError(StoreError):
    """There is no blob under that key."""

    code = "blob_not_found"


class StoreUnavailableError(StoreError):
    """The blob store cannot be reached or written."""

    code = "store_unavailable"


class NoSpaceError(StoreUnavailableError):
    """The disk of the blob store is full."""


class QueueUnavailableError(MetsegError):
    """Redis cannot be reached."""

    code = "queue_unavailable"


class JobError(MetsegError):
    """A job cannot do what was asked of it."""

    code = "job_failed"


class JobNotFoundError(JobError):
    """There is no job of that id."""

    code = "job_not_found"


class JobGoneError(JobError):
    """The job was deleted or has expired."""

    code = "job_gone"


class AttemptGivenUpError(JobGoneError):
    """The attempt was taken for dead, and the job was handed to another."""

    code = "attempt_given_up"


class JobStateError(JobError):
    """The job's state does not allow the request."""

    code = "job_state"


class JobCancelledError(JobError):
    """The job was cancelled while it ran."""

    code = "job_cancelled"


class JobTimeoutError(JobError):
    """The job ran past its time limit."""

    code = "job_timeout"


class WorkerLostError(JobError):
    """The worker died in each of the attempts."""

    code = "worker_lost"


class ScratchFullError(MetsegError):
    """The worker's own disk, where an attempt keeps its files, is full."""

    code = "scratch_full"


class CardError(MetsegError):
    """A model card is missing, damaged or contradicts its weights."""

    code = "card_invalid"


class SettingsError(MetsegError):
    """A `METSEG_*` variable is missing or has a wrong value."""

    code = "settings_invalid"
