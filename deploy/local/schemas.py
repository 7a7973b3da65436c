"""Publishes the JSON schemas of what outlives a job: `python -m deploy.local.schemas`, or `make schemas`.

Each file is named for the `schema_version` in the documents that it describes. A version only grows by fields that
may be absent, so documents written by earlier versions fit its newest schema.
"""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from metseg.schemas.model_card import ModelCard
from metseg.schemas.report import Report

FOLDER: Final = Path(__file__).parents[2] / "docs" / "schemas"
PUBLISHED: Final[dict[str, type[BaseModel]]] = {"card": ModelCard, "report": Report}


def published() -> dict[str, str]:
    """The files' names with their text."""
    return {f"{name}-{_version(model)}.json": _text(name, model) for name, model in PUBLISHED.items()}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in published().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _version(model: type[BaseModel]) -> int:
    version: int = model.model_fields["schema_version"].default
    return version


def _text(name: str, model: type[BaseModel]) -> str:
    schema: dict[str, Any] = model.model_json_schema()
    about = {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:metseg:schema:{name}:{_version(model)}"}
    return json.dumps(about | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
