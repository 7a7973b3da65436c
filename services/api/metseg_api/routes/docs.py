"""`/docs`: the OpenAPI document as a page in which requests can be tried.

Every file comes from this server. Of the package `fastapi_swagger` only its copy of Swagger UI is used: its own
page, like FastAPI's, has an inline script, which the Content-Security-Policy does not allow.
"""

from importlib.resources import files

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

PAGE = "docs.html"
_OWN, _SWAGGER_UI = "metseg_api.openapi", "fastapi_swagger.resources"
FILES = {
    "swagger-ui-bundle.js": (_SWAGGER_UI, "text/javascript"),
    "swagger-ui.css": (_SWAGGER_UI, "text/css"),
    "start.js": (_OWN, "text/javascript"),
}
"""The files below `/docs/`: the package that each comes with, and its media type."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",  # Swagger UI's icons, and pictures among the answers
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""The page's Content-Security-Policy: nothing inline, nothing from another host."""


@router.get("/docs")
def get_docs() -> Response:
    """Return the page."""
    return _response(_OWN, PAGE, "text/html")


@router.get("/docs/{name}")
def get_docs_file(name: str) -> Response:
    """Return one file of the page.

    Raises:
        HTTPException: 404, the page has no such file.
    """
    if name not in FILES:
        raise HTTPException(404)
    package, media_type = FILES[name]
    return _response(package, name, media_type)


def _response(package: str, name: str, media_type: str) -> Response:
    data = (files(package) / name).read_bytes()
    return Response(data, media_type=media_type, headers={"Content-Security-Policy": POLICY})
