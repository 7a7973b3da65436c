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
    WaitTimeoutError,
)
from metseg_client.models import JobPage, Manifest, ServedModel

__all__ = [
    "AnswerError",
    "ApiError",
    "ApiUnreachableError",
    "ClientError",
    "DownloadError",
    "JobPage",
    "Manifest",
    "MetsegClient",
    "ServedModel",
    "WaitTimeoutError",
]
