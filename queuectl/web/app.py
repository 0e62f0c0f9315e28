"""The dashboard as an ASGI application: which path is served by what."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from queuectl.domain.errors import InvalidInput, NotFound, QueuectlError
from queuectl.domain.field_checks import is_name
from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.queue.metrics import CONTENT_TYPE_LATEST, metrics_text
from queuectl.system.home import Location
from queuectl.system.job_logs import JobLogs
from queuectl.web import downloads
from queuectl.web.access import Access, Policy
from queuectl.web.api import ENDPOINTS, description
from queuectl.web.api.endpoint import BODY, Endpoint, read
from queuectl.web.app_state import AppState, state_of
from queuectl.web.guard import Guard
from queuectl.web.http import json_answer, problem, read_json
from queuectl.web.live import Live
from queuectl.web.pages.browser import ROUTES, show_error
from queuectl.web.pages.templates import STATIC

_FOR_EVER = "public, max-age=31536000, immutable"


def build(
    location: Location, policy: Policy, token_file: Path | None = None
) -> tuple[ASGIApp, AppState]:
    """Return the application that serves the queue of a place, and what its handlers share."""
    state = AppState(location, policy, token_file)
    app = Starlette(
        routes=_routes(),
        lifespan=_lifespan,
        exception_handlers={
            HTTPException: show_error,
            QueuectlError: show_error,
            ClientDisconnect: _gone,
            Exception: _surprise,
        },
    )
    app.state.shared = state
    app.router.redirect_slashes = False  # an address is ours or it is not
    return Guard(_Compressed(app, minimum_size=500, compresslevel=6), state), state


def _routes() -> list[BaseRoute]:
    return [
        *_of_api(),
        Route("/api/openapi.json", _openapi),
        Route("/events", _events),
        Route("/jobs/{id}/log", downloads.download),
        Route("/batches/{name}/results.csv", downloads.results),
        Route("/healthz", _healthz),
        Route("/metrics", _metrics),
        *ROUTES,
        Mount("/static", _Static(directory=STATIC)),
    ]


def own_words() -> frozenset[str]:
    """Return the words that paths of ours begin with."""
    paths = [route.path for route in _routes() if isinstance(route, (Route, Mount))]
    return frozenset(path.split("/")[1] for path in paths)


class _Compressed(GZipMiddleware):
    """Compresses what our own pages, a person or a program asks for.

    Not what another site has asked for: by the lengths of answers that hold both a word of its
    choice and a secret it could guess the secret (https://breachattack.com).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        is_plain = is_foreign or "range" in headers  # a part is one of what is in the file
        await (self.app if is_plain else super().__call__)(scope, receive, send)


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    try:
        yield
    finally:
        app.state.shared.close()


def _of_api() -> Iterator[Route]:
    """Yield a route for each path of the API, so that what is not allowed says what is."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    for path, methods in paths.items():
        yield Route(f"/api{path}", partial(_serve, methods), methods=[*methods])


async def _serve(methods: Mapping[str, Endpoint], request: Request) -> Response:
    """Serve the endpoints of one path of the API."""
    endpoint = methods["GET" if request.method == "HEAD" else request.method]
    body = await read_json(request) if endpoint.params_in(BODY) else {}
    arguments = read(endpoint.params, request.path_params, request.query_params, body)
    who = request.state.access.who
    answer = await state_of(request).pool.run(
        lambda queue: endpoint.act(queue, arguments), who, is_slow=endpoint.is_slow
    )
    return json_answer(answer, endpoint.status, endpoint.message_for(arguments, answer))


async def _openapi(request: Request) -> Response:
    policy = state_of(request).policy
    return json_answer(description(open_reading=policy.open_reading, root=policy.root))


async def _events(request: Request) -> Response:
    """Stream what changes, for the page of one job with its log."""
    state, access = state_of(request), request.state.access
    job, run = request.query_params.get("job", ""), request.query_params.get("run", "")
    if job and not (is_name(job) and run.isdecimal() and len(run) < 10):
        raise InvalidInput("job must be an id, and run a number")
    if state.live.is_full:
        return problem(503, "too many pages are open", "close some")
    files: tuple[Path, ...] = ()
    if job:
        logs = await state.pool.run(partial(_logs_of, job_id=job, run=int(run)))
        files = (logs.stdout(job, int(run)), logs.stderr(job, int(run)))
    return _Events(state.live, files, partial(_may_go_on, state, access))


def _logs_of(queue: Queue, job_id: str, run: int) -> JobLogs:
    """Return where the output of a run is, or is brought to; of a job that is gone it is here."""
    with contextlib.suppress(NotFound):
        job = queue.get(job_id)
        if job.runs == run and job.state is State.PROCESSING:
            return queue.logs_of(job, run)
    return JobLogs(queue.home)  # what has ended does not grow


class _Events(StreamingResponse):
    """A stream of events, which has its place from the start and gives it back however it ends."""

    def __init__(self, live: Live, files: tuple[Path, ...], may_go_on: Callable[[], bool]) -> None:
        self._live, self._place = live, live.enter()
        super().__init__(
            live.stream(self._place, files, may_go_on),
            media_type="text/event-stream", headers={"x-accel-buffering": "no"},
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.leave(self._place)


def _may_go_on(state: AppState, access: Access) -> bool:
    """Whether a stream's browser, if it had logged in, still is, and its token still holds."""
    if access.token is not None and not state.tokens.holds(access.token):
        return False
    return access.session is None or state.sessions.get(access.cookie) is not None


async def _healthz(request: Request) -> Response:
    """Say whether the store answers; why not, only to those who may read."""
    try:
        await state_of(request).pool.run(lambda queue: queue.counts())
    except QueuectlError as fault:
        why = str(fault) if request.state.access.may_read else "the store does not answer"
        return PlainTextResponse(f"{why}\n", 503)
    return PlainTextResponse("ok\n")


async def _metrics(request: Request) -> Response:
    """Serve what Prometheus asks."""
    text = await state_of(request).pool.run(metrics_text)
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


class _Static(StaticFiles):
    """Our own files; one that is asked for by what is in it never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, to be kept for ever under an address that changes with it."""
        response = await super().get_response(path, scope)
        is_marked = scope.get("query_string", b"").startswith(b"v=")
        response.headers["cache-control"] = _FOR_EVER if is_marked else "no-cache"
        return response


async def _gone(_request: Request, _fault: Exception) -> Response:
    """Answer nobody: whoever asked has gone before the whole of it was here."""
    return Response(status_code=400)


async def _surprise(_request: Request, fault: Exception) -> Response:
    return problem(500, f"unexpected {type(fault).__name__}", "the log of the dashboard says more")
