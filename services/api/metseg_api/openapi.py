"""What the OpenAPI document says beyond the signatures: errors, examples, and the form that is read by hand."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from metseg.jobs import DEFAULT_MODEL, RESEARCH_USE_ONLY
from metseg_api.problems import HTTP_CODES, KINDS, MEDIA_TYPE, Problem

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = f"""
Send an MRI scan (NIfTI, or a single slice as PNG, JPEG or TIFF), get back a mask of the brain metastases and
their measurements.

A scan becomes a **job**: `POST /v1/jobs` answers `202` once the upload is safely stored and queued. Ask
`GET /v1/jobs/{{id}}` (with `Prefer: wait=30` to be told of changes at once) until the state is `succeeded`,
`failed` or `cancelled`, then take the artefacts from `GET /v1/jobs/{{id}}/result`. A state never moves backwards.

Errors are `application/problem+json` (RFC 9457) with a stable `code`.

**{RESEARCH_USE_ONLY}**
""".strip()

TAGS = [
    {"name": "jobs", "description": "Send scans, follow jobs, end them."},
    {"name": "results", "description": "Take away what a job made."},
    {"name": "models", "description": "Which networks there are, and how good."},
    {"name": "service", "description": "Whether the service is well, and which version it is."},
]

JOB_ID = "019d0000-1111-7222-8333-444455556666"
JOB_EXAMPLE = {
    "schema_version": 1,
    "id": JOB_ID,
    "state": "running",
    "created_at": "2026-11-23T10:15:00Z",
    "started_at": "2026-11-23T10:15:01Z",
    "finished_at": None,
    "expires_at": None,
    "attempt": 1,
    "cancel_requested": False,
    "model": {"name": DEFAULT_MODEL, "version": 1, "digest": "9f86d081884c7d659a2feaa0c55ad015"},
    "request": {"model": DEFAULT_MODEL, "threshold": None, "spacing_mm": None, "priority": "routine"},
    "queue_position": None,
    "seconds_left": 2.0,
    "progress": {
        "stage": "predict",
        "fraction": 0.6,
        "slices_done": 80,
        "slices_total": 132,
        "attempt": 1,
        "started_at": "2026-11-23T10:15:01Z",
        "updated_at": "2026-11-23T10:15:04Z",
    },
    "error": None,
    "links": {"self": f"/v1/jobs/{JOB_ID}", "cancel": f"/v1/jobs/{JOB_ID}/cancel"},
}

EVENT_EXAMPLE = f"id: 5e8f1c\nevent: job\ndata: {json.dumps(JOB_EXAMPLE)}\n\n"

UPLOAD_FORM = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A name for this very upload, best a UUID: sent again with the same key and the same "
            "parts it is answered with the job that is there already. Forgotten with the job.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            "example": "6f0c5f6e-8c0b-4a39-a7a5-3f0c2f1d9b52",
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
                        "file": {
                            "type": "string",
                            "contentMediaType": "application/octet-stream",
                            "description": "The scan. Its kind is found from its content; its name is ignored.",
                        },
                        "model": {
                            "type": "string",
                            "default": DEFAULT_MODEL,
                            "description": "See `GET /v1/models`.",
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
                        "priority": {
                            "type": "string",
                            "enum": ["urgent", "routine"],
                            "default": "routine",
                            "description": "Urgent jobs go before all routine ones that wait.",
                        },
                    },
                },
                "encoding": {"file": {"contentType": "application/octet-stream"}},
            }
        },
    },
}


def problems(*statuses: int) -> Responses:
    """The error answers of a route, by status; each lists the codes that may come with it."""
    codes: dict[int, list[str]] = {}
    for cls, kind in KINDS.items():
        codes.setdefault(kind.status, []).append(cls.code)
    documented: Responses = {}
    for status in statuses:
        named = codes.get(status) or [HTTP_CODES[status]]
        documented[status] = {
            "description": "Problem: " + ", ".join(f"`{code}`" for code in named),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return documented


def answer(description: str, example: object, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A documented good answer with its example and headers."""
    return {
        "description": description,
        "content": {"application/json": {"example": example}},
        "headers": {
            name: {"description": text, "schema": {"type": "string"}} for name, text in (headers or {}).items()
        },
    }


def install_openapi(app: FastAPI) -> None:
    """Let the application describe itself with the `Problem` schema among its components."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
                license_info=app.license_info,
            )
            template = "#/components/schemas/{model}"
            problem = Problem.model_json_schema(ref_template=template)
            schemas = document["components"]["schemas"]
            schemas.update(problem.pop("$defs", {}))
            schemas["Problem"] = problem
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's own way to extend the document
