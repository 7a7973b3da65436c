"""What every request meets at the edge: an id, a span, checks, safe headers, a log line, the last catch."""

import logging
import time
from http import HTTPStatus
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metseg.errors import RequestError
from metseg.logs import frames
from metseg.schemas.job import is_job_id
from metseg.tracing.api import OFF, Side, Span, Tracer
from metseg_api.backends import Backends
from metseg_api.errors import UploadTooLargeError
from metseg_api.problem_details import error_response, internal_error
from metseg_api.request_checks import check_framing, check_host, check_origin, keep_encoded_slashes
from metseg_api.uploads.multipart import announced_bytes
from metseg_api.use_cases.collect_metrics import HttpFigures

MAX_BODY_BYTES = 64 * 1024
CLIENT_LEFT = 499
UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What machines ask every few seconds."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, upload_route: tuple[str, str], figures: HttpFigures) -> None:
        self._app = app
        self._upload_route = upload_route
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; tell log and trace of its route's template, never of its path, query or body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        keep_encoded_slashes(scope)
        request = Request(scope, receive)
        request.state.request_id = str(uuid4())
        tracer: Tracer = OFF if request.url.path in UNTRACED else request.app.state.backends.tracer
        parent = request.headers.get("traceparent")
        facts = {"request_id": request.state.request_id, "method": _method(request)}
        with tracer.span("request", side=Side.SERVER, parent=parent, **facts) as span:
            await self._serve(request, span, send)

    async def _serve(self, request: Request, span: Span, send: Send) -> None:
        scope, receive = request.scope, request.receive
        began = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request.state.request_id
                if span.trace_id is not None:
                    headers["X-Trace-ID"] = span.trace_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        try:
            await self._answering(request)(scope, receive, send_marked)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as exc:  # noqa: BLE001  the last catch: an unforeseen error leaves without its text
            fields = {"request_id": request.state.request_id, "error": type(exc).__name__}
            _log.error("unforeseen error", extra=fields | {"frames": frames(exc.__traceback__)})
            if not status:
                await internal_error(request)(scope, receive, send_marked)
        finally:
            self._log_request(request, status, time.perf_counter() - began)
            _tell(span, request, status)

    def _answering(self, request: Request) -> ASGIApp:
        """The application, or the answer to a request that must not reach it."""
        try:
            self._check(request)
        except RequestError as exc:
            return error_response(request, exc)
        return self._app

    def _check(self, request: Request) -> None:
        backends: Backends = request.app.state.backends
        is_open = backends.keys is None
        check_framing(request.headers)
        check_host(request.headers, is_open=is_open, allowed_hosts=backends.settings.allowed_host_names)
        if is_open:
            check_origin(request.method, request.headers)
        is_upload = (request.method, request.url.path) == self._upload_route
        if not is_upload and announced_bytes(request) > MAX_BODY_BYTES:
            raise UploadTooLargeError(f"This route takes at most {MAX_BODY_BYTES} bytes.")

    def _log_request(self, request: Request, status: int, duration_s: float) -> None:
        route, method = _route(request), _method(request)
        self._figures.count(method, route, status, duration_s)
        fields = {
            "request_id": request.state.request_id,
            "key_id": getattr(request.state, "key_id", None),
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(duration_s * 1000, 1),
        }
        _log.info("request", extra=fields)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _method(request: Request) -> str:
    return request.method if request.method in _METHODS else "other"


def _route(request: Request) -> str | None:
    return getattr(request.scope.get("route"), "path", None)


def _tell(span: Span, request: Request, status: int) -> None:
    """Tell a span how its request ended."""
    job_id = request.path_params.get("job_id", "")
    span.rename(f"{_method(request)} {_route(request) or 'unknown'}")
    span.tell(route=_route(request), status=status, job_id=job_id if is_job_id(job_id) else None)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or not status:
        span.end(str(status))
