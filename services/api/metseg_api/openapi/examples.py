"""Examples of what the API answers, for its own description; a test holds each against its schema."""

import json
from typing import Any

from metseg.schemas.job import DEFAULT_MODEL, RESEARCH_USE_ONLY

Example = dict[str, Any]

JOB_ID = "019d0000-1111-7222-8333-444455556666"
EARLIER_JOB_ID = "019c0000-1111-7222-8333-444455556666"
JOB_PATH = f"/v1/jobs/{JOB_ID}"
ENTITY_TAG = '"5e8f1c0a9b7d4e3f8a6b2c1d0e9f8a7b"'
IDEMPOTENCY_KEY = "6f0c5f6e-8c0b-4a39-a7a5-3f0c2f1d9b52"
SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

_BEGUN, _UPDATED, _ENDED = "2026-11-23T10:15:01Z", "2026-11-23T10:15:04Z", "2026-11-23T10:15:06Z"
_OF_EVERY_JOB: Example = {
    "schema_version": 1,
    "id": JOB_ID,
    "created_at": "2026-11-23T10:15:00Z",
    "model": {"name": DEFAULT_MODEL, "version": 1, "digest": "9f86d081884c7d659a2feaa0c55ad015"},
    "request": {
        "model": DEFAULT_MODEL,
        "threshold": None,
        "spacing_mm": None,
        "priority": "routine",
        "webhook_url": None,
    },
}

QUEUED_JOB: Example = _OF_EVERY_JOB | {
    "state": "queued",
    "expires_at": "2026-11-24T10:15:00Z",
    "attempt": 0,
    "cancel_requested": False,
    "queue_position": 2,
    "seconds_left": 9.5,
    "links": {"self": JOB_PATH, "cancel": f"{JOB_PATH}/cancel"},
}
RUNNING_JOB: Example = QUEUED_JOB | {
    "state": "running",
    "started_at": _BEGUN,
    "attempt": 1,
    "queue_position": None,
    "seconds_left": 2.0,
    "progress": {
        "stage": "predict",
        "scan": 1,
        "scans": 1,
        "fraction": 0.6,
        "slices_done": 80,
        "slices_total": 132,
        "attempt": 1,
        "started_at": _BEGUN,
        "updated_at": _UPDATED,
    },
}
SUCCEEDED_JOB: Example = _OF_EVERY_JOB | {
    "state": "succeeded",
    "started_at": _BEGUN,
    "finished_at": _ENDED,
    "expires_at": "2026-11-24T10:15:06Z",
    "attempt": 1,
    "cancel_requested": False,
    "links": {"self": JOB_PATH, "result": f"{JOB_PATH}/result"},
}
FAILED_JOB: Example = SUCCEEDED_JOB | {
    "state": "failed",
    "error": {"code": "input_damaged", "message": "The file breaks off: it has 4096 of 2097504 bytes."},
    "links": {"self": JOB_PATH},
}
CANCELLED_JOB: Example = SUCCEEDED_JOB | {
    "state": "cancelled",
    "cancel_requested": True,
    "links": {"self": JOB_PATH},
}

PAGE: Example = {
    "items": [QUEUED_JOB],
    "next_cursor": JOB_ID,
    "links": {"self": "/v1/jobs?limit=1", "next": f"/v1/jobs?limit=1&cursor={JOB_ID}"},
}

RESULT: Example = {
    "schema_version": 1,
    "job_id": JOB_ID,
    "attempt": 1,
    "finished_at": _ENDED,
    "artefacts": [
        {
            "name": "mask.nii.gz",
            "media_type": "application/gzip",
            "size_bytes": 48213,
            "sha256": SHA256,
            "href": f"{JOB_PATH}/result/mask.nii.gz",
        }
    ],
    "links": {"self": f"{JOB_PATH}/result", "job": JOB_PATH},
}

WEBHOOK: Example = {
    "schema_version": 1,
    "job_id": JOB_ID,
    "url": "https://receiver.example.org/metseg",
    "state": "delivered",
    "attempts": [
        {
            "number": 1,
            "began_at": "2026-11-23T10:15:06Z",
            "ended_at": "2026-11-23T10:15:07Z",
            "outcome": "bad_status",
            "status": 503,
        },
        {
            "number": 2,
            "began_at": "2026-11-23T10:15:12Z",
            "ended_at": "2026-11-23T10:15:12Z",
            "outcome": "delivered",
            "status": 204,
        },
    ],
}

JOB_ENDED: Example = {
    "type": "job.succeeded",
    "timestamp": _ENDED,
    "data": {"job_id": JOB_ID, "state": "succeeded", "code": None, "links": SUCCEEDED_JOB["links"]},
}
SIGNATURE: Example = {
    "webhook-id": f"msg_{JOB_ID}",
    "webhook-timestamp": 1795429806,
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}

MODELS: Example = {
    "serving_reachable": True,
    "items": [
        {
            "name": DEFAULT_MODEL,
            "default": True,
            "served": True,
            "state": "available",
            "served_versions": [1],
            "stable": 1,
            "canary": None,
            "card": {
                "name": DEFAULT_MODEL,
                "version": 1,
                "network": DEFAULT_MODEL,
                "preset": "small",
                "preprocessing": {"size": 256, "spacing_mm": 1.0},
                "threshold": 0.5,
                "min_lesion_mm3": 5.0,
                "min_lesion_px": 4,
                "parameters": 2_000_000,
                "gflop_per_slice": 4.0,
                "training_data": [],
                "scores": [],
                "weights_sha256": SHA256,
                "software": {"keras": "3.15.1"},
                "intended_use": RESEARCH_USE_ONLY,
                "limits": ["Adults, contrast-enhanced T1."],
                "licence": "CC-BY-4.0",
                "created_at": "2026-11-01T00:00:00Z",
            },
        }
    ],
}

READY: Example = {
    "ready": True,
    "parts": {name: {"ready": True, "code": None} for name in ("queue", "store", "model", "loops")},
}
NOT_READY: Example = READY | {
    "ready": False,
    "parts": READY["parts"] | {"model": {"ready": False, "code": "serving_unavailable"}},
}
VERSION: Example = {
    "packages": {"metseg": "0.1.0", "metseg-api": "0.1.0"},
    "python": "3.11.7",
    "schema_versions": {"job": 1, "final": 1, "report": 1, "card": 1},
    "research_use": RESEARCH_USE_ONLY,
}

EVENT = {"id": ENTITY_TAG.strip('"'), "event": "job", "data": json.dumps(RUNNING_JOB)}
METRICS = 'metseg_queue_depth{lane="urgent"} 0.0'
