"""What the OpenAPI document says of the form of an upload, which is read by hand as it arrives."""

from metseg.schemas.fields import LABEL, MOST_LABEL, SERIES_UID
from metseg.schemas.job import DEFAULT_MODEL, MOST_PREVIOUS
from metseg_api.openapi.examples import EARLIER_JOB_ID, IDEMPOTENCY_KEY
from metseg_api.uploads.multipart import MAX_FILES

FILES = {
    "type": "array",
    "items": {
        "type": "string",
        "format": "binary",  # by which Swagger UI and generators of clients know a file
        "contentMediaType": "application/octet-stream",
        "minLength": 1,
    },
    "maxItems": MAX_FILES,
}
UPLOAD_FORM = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A name for this very upload, best a UUID: sent again with the same key and the same "
            "parts it is answered with the job that is there already. Forgotten with the job.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "pattern": "^[!-~]([ -~]*[!-~])?$",
                "examples": [IDEMPOTENCY_KEY],  # as an example of the parameter /docs would send it with each try
            },
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": FILES
                        | {
                            "minItems": 1,
                            "description": "The scan: one file, or a part for each image of a DICOM series. What "
                            "a file is, is found from its content; its name is ignored.",
                        },
                        "model": {
                            "type": "string",
                            "default": DEFAULT_MODEL,
                            "description": "See `GET /v1/models`; `ensemble` is all of them together.",
                        },
                        "threshold": {
                            "type": "number",
                            "exclusiveMinimum": 0,
                            "exclusiveMaximum": 1,
                            "description": "Probability from which a voxel is lesion. Default: the model card's.",
                        },
                        "spacing_mm": {
                            "type": "string",
                            "examples": ["0.9", "0.9,0.9"],
                            "description": "Pixel size of a picture: column and row distance, 0.01 to 20 mm. "
                            "Without it a picture is measured in pixels. A NIfTI brings its own.",
                        },
                        "series_uid": {
                            "type": "string",
                            "maxLength": 64,
                            "pattern": SERIES_UID,
                            "description": "SeriesInstanceUID of the DICOM series to segment, where several come.",
                        },
                        "previous": {
                            "type": "string",
                            "examples": [EARLIER_JOB_ID],
                            "description": "Ids of earlier jobs of the same patient and sender to compare with, "
                            f"parted by commas, the baseline first, {MOST_PREVIOUS} at most; each must have "
                            "succeeded and be of a volume. The report then has a `follow_up`.",
                        },
                        "previous_file": FILES
                        | {
                            "description": "An earlier scan of the same patient in place of `previous`, as files "
                            "like those of `file`: it is segmented in this job with the same model and threshold, "
                            "and compared with. Must be a volume.",
                        },
                        "previous_series_uid": {
                            "type": "string",
                            "maxLength": 64,
                            "pattern": SERIES_UID,
                            "description": "SeriesInstanceUID of the DICOM series to take from `previous_file`, "
                            "where several come.",
                        },
                        "priority": {
                            "type": "string",
                            "enum": ["urgent", "routine"],
                            "default": "routine",
                            "description": "Urgent jobs run before waiting routine jobs, but every fifth "
                            "job taken is a routine one if one waits.",
                        },
                        "label": {
                            "type": "string",
                            "maxLength": MOST_LABEL,
                            "pattern": LABEL,
                            "examples": ["Case 12, March"],
                            "description": "What you call the scan; shown with the job, kept as long as it, and "
                            "never taken from the files.",
                        },
                        "webhook_url": {
                            "type": "string",
                            "anyOf": [{"format": "uri"}, {"maxLength": 0}],
                            "maxLength": 2048,
                            "description": "An https address to call once the job has ended; see docs/api.md. "
                            "None where it is left empty.",
                        },
                    },
                },
                "encoding": {
                    name: {"contentType": "application/octet-stream"} for name in ("file", "previous_file")
                },
                "examples": {
                    "volume": {"summary": "A volume", "value": {"file": ["the bytes of scan.nii.gz"]}},
                    "follow_up": {
                        "summary": "A volume that is compared with an earlier one",
                        "value": {"file": ["the bytes of scan.nii.gz"], "previous": EARLIER_JOB_ID},
                    },
                    "earlier_scan": {
                        "summary": "A volume with an earlier one that is compared with it",
                        "value": {
                            "file": ["the bytes of now.nii.gz"],
                            "previous_file": ["the bytes of earlier.zip"],
                        },
                    },
                    "picture": {
                        "summary": "A slice of known pixel size, before all that waits",
                        "value": {
                            "file": ["the bytes of slice.png"],
                            "model": DEFAULT_MODEL,
                            "threshold": 0.5,
                            "spacing_mm": "0.9,0.9",
                            "priority": "urgent",
                        },
                    },
                },
            }
        },
    },
}
