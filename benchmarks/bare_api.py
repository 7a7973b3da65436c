"""Bare FastAPI routes that do nothing, for comparison: `python -m benchmarks.bare_api PORT`."""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

JOB = {"id": "x", "state": "running"}


def bare_app() -> FastAPI:
    """An answer from memory, an upload that is thrown away, and events that are told as soon as they are sent."""
    app = FastAPI(openapi_url=None)
    news: set[asyncio.Event] = set()

    @app.get("/job")
    async def job() -> dict[str, str]:
        return JOB

    @app.post("/upload", status_code=202)
    async def upload(request: Request) -> dict[str, str]:
        async for _ in request.stream():
            pass
        return JOB

    @app.post("/tell")
    async def tell() -> Response:
        for event in news:
            event.set()
        return Response(status_code=204)

    async def told() -> AsyncIterator[str]:
        event = asyncio.Event()
        news.add(event)
        try:
            while True:
                yield 'id: 1\nevent: job\ndata: {"state": "running"}\n\n'
                await event.wait()
                event.clear()
        finally:
            news.discard(event)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(told(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    config = {"log_config": None, "access_log": False, "server_header": False}
    uvicorn.run(bare_app(), host="127.0.0.1", port=int(sys.argv[1]), **config)  # type: ignore[arg-type]
