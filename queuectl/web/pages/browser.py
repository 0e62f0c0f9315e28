"""What browsers are served: pages, forms without a script, and logging in and out."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.times import UTC
from queuectl.queue import Queue
from queuectl.web.access import Access, is_same
from queuectl.web.api.endpoints import BY_NAME
from queuectl.web.api.params import Given, from_form, read
from queuectl.web.app_state import Board
from queuectl.web.guard import is_local, try_token
from queuectl.web.http import problem, read_form, status_of
from queuectl.web.pages.pages import PAGES, Page
from queuectl.web.pages.templates import render

_LOGIN_COOKIE = "queuectl_login"
_LOGIN_KEY = secrets.token_bytes(32)

Handler = Callable[[Request], Awaitable[Response]]


def routes(board: Board) -> list[Route]:
    """Return the routes of all pages and forms."""
    return [
        *(Route(path, _page(board, path, page)) for path, page in PAGES.items()),
        Route("/login", _show_login(board), methods=["GET"]),
        Route("/login", _log_in(board), methods=["POST"]),
        Route("/logout", _log_out(board), methods=["POST"]),
        Route("/do", _do(board), methods=["POST"]),
    ]


def _common(board: Board, request: Request, title: str) -> dict[str, Any]:
    """Return what every page shows around its own content."""
    access: Access = request.state.access
    told = access.session.told.copy() if access.session else []
    if access.session:
        access.session.told.clear()
    query = request.url.query
    return {
        "title": title,
        "version": board.live.version,
        "path": request.url.path,
        "here": request.url.path + (f"?{query}" if query else ""),
        "access": access,
        "read_only": board.policy.read_only,
        "told": told,
    }


def _page(board: Board, path: str, page: Page) -> Handler:
    """Return what serves one page."""
    template, title, params, act = page

    async def serve(request: Request) -> Response:
        filled = [(name, text) for name, text in request.query_params.multi_items() if text]
        asked = read(params, Given(request.path_params, filled, {}))
        common = _common(board, request, title)

        def made(queue: Queue) -> str:
            values = {**common, "active": path.split("/")[1], "store": queue.address}
            return render(template, queue.now(), {**values, **act(queue, asked)})

        return HTMLResponse(await board.pool.run(made))

    return serve


def on_error(board: Board) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what answers an error: a page for a person, problem JSON for a program."""

    async def answer(request: Request, fault: Exception) -> Response:
        status, told, hint = 500, str(fault), ""
        if isinstance(fault, HTTPException):
            status, told = fault.status_code, fault.detail
        elif isinstance(fault, QueuectlError):
            status, hint = status_of(fault), fault.hint
        if request.url.path.startswith("/api/") or not _is_person(request):
            refused = problem(status, told, hint)
        else:
            title = "Not found" if status == 404 else "Error"
            values = {**_common(board, request, title), "active": "", "store": ""}
            values |= {"status": status, "detail": told, "hint": hint}
            refused = HTMLResponse(render("error.html", _now(), values), status)
        for name, value in (getattr(fault, "headers", None) or {}).items():
            refused.headers[name] = value
        return refused

    return answer


def _is_person(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _now() -> Any:
    from datetime import datetime

    return datetime.now(UTC)


def _do(board: Board) -> Handler:
    """Return what serves forms: any endpoint of the API that changes something."""

    async def serve(request: Request) -> Response:
        fields = await read_form(request)
        access: Access = request.state.access
        session = _checked(access, fields)
        endpoint = BY_NAME.get(fields.pop("_do", [""])[0])
        if endpoint is None or not endpoint.changes:
            raise InvalidInput("the form does not say what to do")
        back = _own_path(fields.pop("_back", ["/"])[0])
        try:
            asked = read(endpoint.params, from_form(endpoint.params, fields))
            answer = await board.pool.run(lambda queue: endpoint.act(queue, asked))
        except QueuectlError as fault:
            hint = f" ({fault.hint})" if fault.hint else ""
            session.told.append(("error", f"{fault}{hint}"))
        else:
            session.told.append(("ok", endpoint.told(asked, answer)))
        return RedirectResponse(back, status_code=303)

    return serve


def _checked(access: Access, fields: dict[str, list[str]]) -> Any:
    """Return the session that a form was made for. Raises HTTPException for a forged one."""
    given = fields.pop("_csrf", [""])[0]
    if access.session is None or not is_same(given, access.csrf):
        raise HTTPException(403, "this form is out of date: load the page again")
    return access.session


def _own_path(path: str) -> str:
    """Return a path of ours to go back to; never the address of another site."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


def _login_mark(cookie: str) -> str:
    return hmac.new(_LOGIN_KEY, cookie.encode(errors="replace"), "sha256").hexdigest()


def _login_page(board: Board, request: Request, back: str, fault: str, status: int) -> Response:
    cookie = request.cookies.get(_LOGIN_COOKIE) or secrets.token_urlsafe(16)
    values = {
        **_common(board, request, "Log in"),
        "active": "", "store": "", "next": back, "fault": fault, "mark": _login_mark(cookie),
        "token_file": str(board.token_file) if is_local(request) and board.token_file else "",
    }  # fmt: skip
    page = HTMLResponse(render("login.html", _now(), values), status)
    _set_cookie(board, page, _LOGIN_COOKIE, cookie)
    return page


def _set_cookie(board: Board, response: Response, name: str, value: str) -> None:
    """Set a cookie for as long as the browser is open; an empty one is taken away."""
    response.set_cookie(
        name, value, max_age=None if value else 0, path="/", httponly=True, samesite="strict",
        secure=board.policy.secure,
    )  # fmt: skip


def _show_login(board: Board) -> Handler:
    async def serve(request: Request) -> Response:
        back = _own_path(request.query_params.get("next", "/"))
        return _login_page(board, request, back, "", 200)

    return serve


def _log_in(board: Board) -> Handler:
    async def serve(request: Request) -> Response:
        fields = await read_form(request)
        back = _own_path(fields.get("next", ["/"])[0])
        mark = _login_mark(request.cookies.get(_LOGIN_COOKIE, ""))
        if not is_same(fields.get("_csrf", [""])[0], mark):
            return _login_page(board, request, back, "Please try again.", 403)
        shown = fields.get("token", [""])[0].strip()
        refused = try_token(board.policy, board.failures, request, shown)
        if refused is not None:
            told = (
                "That is not the token."
                if refused.status_code == 401
                else f"Too many wrong tokens; wait {refused.headers['retry-after']} s."
            )
            return _login_page(board, request, back, told, refused.status_code)
        name, _session = board.sessions.open()
        response = RedirectResponse(back, status_code=303)
        _set_cookie(board, response, board.policy.cookie, name)
        _set_cookie(board, response, _LOGIN_COOKIE, "")
        return response

    return serve


def _log_out(board: Board) -> Handler:
    async def serve(request: Request) -> Response:
        access: Access = request.state.access
        _checked(access, await read_form(request))
        board.sessions.close(access.cookie)
        response = RedirectResponse("/", status_code=303)
        _set_cookie(board, response, board.policy.cookie, "")
        return response

    return serve
