"""Where the browser gets the viewer's code and the voxels."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from streamlit import runtime

from metseg_ui.viewer.shared_studies import ADDRESSES, STUDIES, voxels

BROWSER: Final = Path(__file__).with_name("browser")
PREFIX: Final = "/viewer"


def viewer_routes() -> list[BaseRoute]:
    """The routes, below Streamlit's own."""
    return [
        Mount(f"{PREFIX}/code", StaticFiles(directory=BROWSER)),
        Route(f"{PREFIX}/{{token}}/{{name}}", get_voxels, methods=["GET"]),
    ]


async def get_voxels(request: Request) -> Response:
    """The voxels of the job that a visit looks at; 404 for anybody else, 410 where they are kept no longer."""
    token, name = request.path_params["token"], request.path_params["name"]
    job_id = ADDRESSES.job_of(token, runtime.get_instance().is_active_session)
    if job_id is None:
        return PlainTextResponse("Not Found", 404)
    study = STUDIES.known(job_id)
    if study is None:
        return PlainTextResponse("Gone", 410)
    array = voxels(study, name)
    if array is None:
        return PlainTextResponse("Not Found", 404)
    headers = {"Content-Encoding": "gzip", "Cache-Control": "no-store"}
    return Response(array.content, headers=headers, media_type="application/octet-stream")
