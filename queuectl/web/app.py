"""The dashboard as an ASGI application: which path is served by what."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.field_checks import is_name
from queuectl.queue.metrics import CONTENT_TYPE_LATEST, metrics_text
from queuectl.system.home import Location
from queuectl.system.job_logs import JobLogs
from queuectl.web.access import Policy
from queuectl.web.api.endpoint import Endpoint
from queuectl.web.api.endpoints import ENDPOINTS
from queuectl.web.api.openapi import description
from queuectl.web.api.params import BODY, Given, read
from queuectl.web.app_state import Board
from queuectl.web.guard import Guard
from queuectl.web.http import json_answer, problem, read_json
from queuectl.web.pages.browser import on_error, routes
from queuectl.web.pages.templates import STATIC

Handler = Callable[[Request], Awaitable[Response]]

_FOR_EVER = "public, max-age=31536000, immutable"


def build(place: Location, policy: Policy, token_file: Path | None = None) -> tuple[ASGIApp, Board]:
    """Return the application that serves the queue of a place, and what its handlers share."""
    board = Board(place, policy, token_file)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            board.close()

    app = Starlette(
        routes=[
            *(Route(f"/api{e.path}", _api(board, e), methods=[e.method]) for e in ENDPOINTS),
            Route("/api/openapi.json", _openapi),
            Route("/events", _events(board)),
            Route("/healthz", _healthz(board)),
            Route("/metrics", _metrics(board)),
            *routes(board),
            Mount("/static", _Static(directory=STATIC)),
        ],
        lifespan=lifespan,
        exception_handlers={
            HTTPException: on_error(board),
            QueuectlError: on_error(board),
            Exception: _on_surprise,
        },
    )
    app.router.redirect_slashes = False  # an address is ours or it is not
    return Guard(app, policy, board.sessions, board.failures), board


def _api(board: Board, endpoint: Endpoint) -> Handler:
    """Return what serves one endpoint to programs."""
    has_body = any(param.place == BODY for param in endpoint.params)

    async def serve(request: Request) -> Response:
        body = await read_json(request) if has_body else {}
        given = Given(request.path_params, request.query_params.multi_items(), body)
        asked = read(endpoint.params, given)
        answer = await board.pool.run(lambda queue: endpoint.act(queue, asked))
        return json_answer(answer, endpoint.status, endpoint.told(asked, answer))

    return serve


async def _openapi(_request: Request) -> Response:
    return json_answer(description())


def _events(board: Board) -> Handler:
    """Return the stream of what changes, for the page of one job with its log."""

    async def serve(request: Request) -> Response:
        if board.live.is_full:
            return problem(503, "too many pages are open", "close some")
        job, run = request.query_params.get("job", ""), request.query_params.get("run", "")
        if job and not (is_name(job) and run.isdecimal() and len(run) < 10):
            raise InvalidInput("job must be an id, and run a number")
        logs = JobLogs(board.location.home)
        files = (logs.stdout(job, int(run)), logs.stderr(job, int(run))) if job else ()
        cookie = request.state.access.cookie
        was_known = request.state.access.session is not None

        def may_go_on() -> bool:
            return not was_known or board.sessions.get(cookie) is not None

        return StreamingResponse(
            board.live.stream(files, may_go_on),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    return serve


def _healthz(board: Board) -> Handler:
    """Return what says whether the store answers; why not, only to those who may read."""

    async def serve(request: Request) -> Response:
        try:
            await board.pool.run(lambda queue: queue.counts())
        except QueuectlError as fault:
            told = str(fault) if request.state.access.may_read else "the store does not answer"
            return PlainTextResponse(f"{told}\n", 503)
        return PlainTextResponse("ok\n")

    return serve


def _metrics(board: Board) -> Handler:
    """Return what Prometheus asks."""

    async def serve(_request: Request) -> Response:
        text = await board.pool.run(metrics_text)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return serve


class _Static(StaticFiles):
    """Our own files; one that is asked for by what is in it never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, to be kept for ever under an address that changes with it."""
        response = await super().get_response(path, scope)
        is_marked = scope.get("query_string", b"").startswith(b"v=")
        response.headers["cache-control"] = _FOR_EVER if is_marked else "no-cache"
        return response


async def _on_surprise(_request: Request, fault: Exception) -> Response:
    return problem(500, f"unexpected {type(fault).__name__}", "the log of the dashboard says more")
