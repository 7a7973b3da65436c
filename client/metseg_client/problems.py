"""Turn answers of the API into models, and its problems into `ApiError`."""

from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from metseg_client.errors import AnswerError, ApiError

Model = TypeVar("Model", bound=BaseModel)

_LONGEST_TEXT = 500


class _Problem(BaseModel):
    """RFC 9457, with the API's own `code`; every field may be missing."""

    code: str | None = None
    title: str | None = None
    detail: str | None = None


def parsed(response: httpx.Response, model: type[Model]) -> Model:
    """The JSON body as `model`; fields of a newer API are passed over, since `/v1` only grows.

    Raises:
        AnswerError: the body is not the JSON that the API promises.
    """
    try:
        return model.model_validate_json(response.content, extra="ignore")
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise AnswerError(
            f"expected {model.__name__} from {response.url.path}, but {place}: {first['msg']}"
        ) from None


def problem(response: httpx.Response) -> ApiError:
    """The error behind an answer of status 4xx or 5xx; its body must have been read."""
    try:
        body = _Problem.model_validate_json(response.content)
    except ValidationError:
        body = _Problem()
    return ApiError(
        code=body.code or f"http_{response.status_code}",
        title=_short(body.title) or response.reason_phrase or f"HTTP {response.status_code}",
        detail=_short(body.detail),
        status=response.status_code,
        retry_after_s=_retry_after_s(response.headers.get("retry-after")),
    )


def _short(text: str | None) -> str:
    return (text or "")[:_LONGEST_TEXT]


def _retry_after_s(header: str | None) -> float | None:
    """Seconds only: the API never sends the date form."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return float(header)
