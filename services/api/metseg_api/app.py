"""The application: routes, error handlers and the edge, put together."""

from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from threading import Event, Thread

from anyio import create_task_group
from anyio.to_thread import run_sync
from fastapi import FastAPI

from metseg.schemas.job import RESEARCH_USE_ONLY
from metseg_api.backends import Backends
from metseg_api.jobs.watcher import JobWatch
from metseg_api.middleware import Edge
from metseg_api.openapi.document import DESCRIPTION, TAGS, install_openapi
from metseg_api.problem_details import install_error_handlers
from metseg_api.routes import docs, events, jobs, metrics, models, results, service, webhooks
from metseg_api.settings import ApiSettings
from metseg_api.supervision import Supervisor
from metseg_api.use_cases.collect_metrics import HttpFigures


def create_app(settings: ApiSettings) -> FastAPI:
    """Build the application; store, queue and TF Serving are opened when it starts, and need not be up."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        backends = app.state.backends = await run_sync(Backends.open, settings)
        watch = app.state.watch = JobWatch(backends.reader)
        supervisor = app.state.supervisor = Supervisor()
        stop = Event()
        loop = get_running_loop()

        def hear(job_id: str) -> None:
            loop.call_soon_threadsafe(watch.hear, job_id)

        blocking = {
            "reconciler": partial(backends.reconciler.run, stop.wait),
            "news": partial(backends.news.listen, hear, stop),
            "upload_heartbeats": partial(backends.reservations.run, stop.wait),
        }
        threads = [
            Thread(target=supervisor.keep_blocking, args=(name, run, stop), name=name, daemon=True)
            for name, run in blocking.items()
        ]
        for thread in threads:
            thread.start()
        async with create_task_group() as beside:
            beside.start_soon(supervisor.keep, "job_watch", watch.run)
            beside.start_soon(supervisor.keep, "webhooks", backends.delivery_loop.run)
            yield
            beside.cancel_scope.cancel()
        stop.set()
        for thread in threads:
            await run_sync(thread.join)
        await run_sync(backends.close)

    app = FastAPI(
        title="metseg",
        summary=f"Finds and measures brain metastases in MRI. {RESEARCH_USE_ONLY}",
        description=DESCRIPTION,
        version=version("metseg-api"),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url="/v1/openapi.json",
        openapi_tags=TAGS,
        docs_url=None,  # FastAPI's own pages load scripts from another host; `routes.docs` does not
        redoc_url=None,
        redirect_slashes=False,
        webhooks=webhooks.calls,
        lifespan=lifespan,
        # Its spans and log records carry raw paths, queries and exception texts.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for module in (jobs, events, webhooks, results, models, service, metrics, docs):
        app.include_router(module.router)
    install_error_handlers(app)
    install_openapi(app)
    app.state.http_figures = HttpFigures()
    app.add_middleware(Edge, upload_route=jobs.UPLOAD_ROUTE, figures=app.state.http_figures)
    return app
