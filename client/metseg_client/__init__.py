"""The typed client of the metseg job API.

with MetsegClient("http://127.0.0.1:8000") as client:
    job = client.wait(client.submit(Path("scan.nii.gz")).id)
    report = client.report(job.id)
"""

from metseg_client.client import MetsegClient
from metseg_client.errors import (
    AnswerError,
    ApiError,
    ApiUnreachableError,
    ClientError,
    DownloadError,
    NoFileError,
    WaitTimeoutError,
)
from metseg_client.models import JobPage, Manifest, ServedModel
from metseg_client.upload import Choices
from metseg_client.wire import Patience

__all__ = [
    "AnswerError",
    "ApiError",
    "ApiUnreachableError",
    "Choices",
    "ClientError",
    "DownloadError",
    "JobPage",
    "Manifest",
    "MetsegClient",
    "NoFileError",
    "Patience",
    "ServedModel",
    "WaitTimeoutError",
]
