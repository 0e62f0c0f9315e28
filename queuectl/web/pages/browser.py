"""What browsers are served: pages, forms without a script, and logging in and out."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.times import UTC
from queuectl.queue import Queue
from queuectl.web.access import Access, Session, is_same
from queuectl.web.api import BY_NAME
from queuectl.web.api.endpoint import Endpoint, Question, read, read_fields
from queuectl.web.api.endpoint import Texts as Form
from queuectl.web.app_state import state_of
from queuectl.web.cookies import set_cookie, set_session
from queuectl.web.guard import is_local, try_token
from queuectl.web.http import json_answer, lead_to, problem, read_form, status_of
from queuectl.web.pages import PAGES, Page, wall
from queuectl.web.pages.changed import BASE_HEADER, SentPages, since
from queuectl.web.pages.templates import environment, rooted

_LOGIN_COOKIE = "queuectl_login"
_THEME_COOKIE = "queuectl_theme"
_THEMES = ("light", "dark")
_YEAR = 366 * 86_400
_LOGIN_KEY = secrets.token_bytes(32)
_SENT = SentPages()


def _common(request: Request) -> dict[str, Any]:
    """Return what every page shows around its own content."""
    access: Access = request.state.access
    messages: list[tuple[str, str]] = []
    if access.session:
        messages, access.session.messages = access.session.messages, []
    state, url = state_of(request), request.url
    return {
        "version": state.live.version,
        "here": url.path + (f"?{url.query}" if url.query else ""),
        "access": access,
        "theme": _theme_of(request.cookies.get(_THEME_COOKIE, "")),
        "read_only": state.policy.read_only,
        "root": state.policy.root,
        "messages": messages,
    }


_TEMPLATES = environment()


def _filled(
    request: Request, template: str, values: Mapping[str, Any], status: int = 200
) -> Response:
    """Return a page: a template with what every page shows, and with the values of its own."""
    html = _TEMPLATES.get_template(template).render({**_common(request), **values})
    return HTMLResponse(rooted(html, request.state.root), status)


def _plain(
    request: Request, template: str, title: str, status: int, values: Mapping[str, Any]
) -> Response:
    """Return a page that asks nothing of the store."""
    around = {"title": title, "active": "", "is_framed": False, "now": datetime.now(UTC)}
    return _filled(request, template, {**around, **values}, status)


async def _show(path: str, page: Page, request: Request) -> Response:
    """Serve one page."""
    given = [(name, text) for name, text in request.query_params.multi_items() if text]
    arguments = read(page.params, request.path_params, QueryParams(given), {})

    def render(queue: Queue) -> Response:
        around = {"title": page.title, "active": path.split("/")[1], "store": queue.address}
        values = {**around, "is_framed": True, "now": queue.now(), **page.values(queue, arguments)}
        return _filled(request, page.template, values)

    shown = await _shared(path, request, partial(state_of(request).pool.run, render))
    if path == wall.PATH:
        state_of(request).sessions.keep_watching(request.state.access.cookie)
    return since(_SENT, request, shown) if BASE_HEADER in request.headers else shown


async def _shared(path: str, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
    """Return a page, made once for all tabs of one reader that are told of the same change.

    Not that of one thing, which changes in ways that no event tells of, as outputs do.
    """
    state, access = state_of(request), request.state.access
    has_messages = access.session is not None and access.session.messages
    if BASE_HEADER not in request.headers or "{" in path or has_messages:
        return await make()
    theme = request.cookies.get(_THEME_COOKIE, "")
    key = (request.url.path, request.url.query, theme, state.live.version, *access.mark)

    async def body() -> bytes:
        return bytes((await make()).body)

    return HTMLResponse(await state.pages.get(key, body))


async def show_error(request: Request, fault: Exception) -> Response:
    """Answer an error: a page for a person, problem JSON for a program."""
    status, detail, hint = 500, str(fault), ""
    if isinstance(fault, HTTPException):
        status, detail = fault.status_code, fault.detail
    elif isinstance(fault, QueuectlError):
        status, hint = status_of(fault), fault.hint
    is_person = "text/html" in request.headers.get("accept", "")
    if request.url.path.startswith("/api/") or not is_person:
        answer = problem(status, detail, hint)
    else:
        title = "Not found" if status == 404 else "Error"
        values = {
            "status": status, "detail": detail, "hint": hint,
            "is_framed": request.state.access.may_read,
            "active": request.url.path.split("/")[1],
        }  # fmt: skip
        answer = _plain(request, "error.html", title, status, values)
    answer.headers.update(getattr(fault, "headers", None) or {})
    return answer


def _endpoint_of(form: Form) -> Endpoint:
    """Return what a form asks for, any endpoint of the API that changes something."""
    endpoint = BY_NAME.get(form.get("_do", ""))
    if endpoint is None or not endpoint.changes:
        raise InvalidInput("the form does not say what to do")
    return endpoint


async def _question_of(request: Request, form: Form) -> Question | None:
    """Return what is to be asked before a form is heeded. Raises QueuectlError."""
    endpoint = _endpoint_of(form)
    asks, arguments = endpoint.asks, read_fields(endpoint.params, form)
    if asks is None:
        return None
    return await state_of(request).pool.run(lambda queue: asks(queue, arguments))


async def _ask(request: Request) -> Response:
    """Say what is to be asked before a form is sent, for the script, which asks by itself."""
    form = await read_form(request)
    _session_of(request, form)
    question = await _question_of(request, form)
    return json_answer({"text": question.text, "yes": question.yes} if question else {})


def _ask_page(request: Request, form: Form, question: Question) -> Response:
    """Return the page that asks, and sends the same form again if the answer is yes."""
    values = {
        "question": question,
        "fields": form.multi_items(),
        "back": _own_path(form.get("_back", "/")),
    }
    return _plain(request, "ask.html", "Are you sure?", 200, values)


async def _do(request: Request) -> Response:
    """Serve a form, once it is sure that it is meant."""
    form = await read_form(request)
    session = _session_of(request, form)
    endpoint = _endpoint_of(form)
    try:
        if "_sure" not in form and (question := await _question_of(request, form)):
            return _ask_page(request, form, question)
        arguments = read_fields(endpoint.params, form)
        answer = await state_of(request).pool.run(
            lambda queue: endpoint.act(queue, arguments),
            request.state.access.who,
            is_slow=endpoint.is_slow,
        )
    except QueuectlError as fault:
        hint = f" ({fault.hint})" if fault.hint else ""
        session.messages.append(("error", f"{fault}{hint}"))
    else:
        session.messages.append(("ok", endpoint.message_for(arguments, answer)))
    return lead_to(request, _own_path(form.get("_back", "/")))


def _session_of(request: Request, form: Form) -> Session:
    """Return the session that a form was made for. Raises HTTPException for a forged one."""
    access: Access = request.state.access
    if access.session is None or not is_same(form.get("_csrf", ""), access.csrf):
        raise HTTPException(403, "this form is out of date: load the page again")
    return access.session


def _own_path(path: str) -> str:
    """Return a path of ours to go back to; never the address of another site."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


def _login_mark(cookie: str) -> str:
    return hmac.new(_LOGIN_KEY, cookie.encode(errors="replace"), "sha256").hexdigest()


def _login_page(request: Request, back: str, fault: str, status: int) -> Response:
    cookie = request.cookies.get(_LOGIN_COOKIE) or secrets.token_urlsafe(16)
    token_file = state_of(request).token_file if is_local(request) else None
    values = {
        "next": back, "fault": fault, "mark": _login_mark(cookie),
        "token_file": str(token_file or ""),
    }  # fmt: skip
    page = _plain(request, "login.html", "Log in", status, values)
    set_cookie(state_of(request).policy, page, _LOGIN_COOKIE, cookie)
    return page


def _theme_of(word: str) -> str:
    """Return the colours that a reader has chosen; empty are those that the system prefers."""
    return word if word in _THEMES else ""


async def _choose_theme(request: Request) -> Response:
    """Remember in the browser which colours its reader likes."""
    response = lead_to(request, _own_path(request.query_params.get("back", "/")))
    theme = _theme_of(request.query_params.get("to", ""))
    policy = state_of(request).policy
    set_cookie(policy, response, _THEME_COOKIE, theme, "lax", _YEAR)
    return response


async def _login(request: Request) -> Response:
    return await (_log_in if request.method == "POST" else _show_login)(request)


async def _show_login(request: Request) -> Response:
    return _login_page(request, _own_path(request.query_params.get("next", "/")), "", 200)


async def _log_in(request: Request) -> Response:
    state, form = state_of(request), await read_form(request)
    back = _own_path(form.get("next", "/"))
    mark = _login_mark(request.cookies.get(_LOGIN_COOKIE, ""))
    if not is_same(form.get("_csrf", ""), mark):
        return _login_page(request, back, "Please try again.", 403)
    shown = try_token(state, request, form.get("token", "").strip())
    if isinstance(shown, Response):
        fault = "That is not the token."
        if shown.status_code == 429:
            fault = f"Too many wrong tokens; wait {shown.headers['retry-after']} s."
        return _login_page(request, back, fault, shown.status_code)
    name, session = state.sessions.open(shown)
    response = lead_to(request, back)
    set_session(state.policy, response, name, session.change_key)
    set_cookie(state.policy, response, _LOGIN_COOKIE, "")
    return response


async def _log_out(request: Request) -> Response:
    state, access = state_of(request), request.state.access
    _session_of(request, await read_form(request))
    state.sessions.close(access.cookie)
    response = lead_to(request, "/")
    set_session(state.policy, response, "", "")
    return response


ROUTES = (
    *(Route(path, partial(_show, path, page)) for path, page in PAGES.items()),
    Route("/theme", _choose_theme),
    Route("/login", _login, methods=["GET", "POST"]),
    Route("/logout", _log_out, methods=["POST"]),
    Route("/do", _do, methods=["POST"]),
    Route("/ask", _ask, methods=["POST"]),
)
"""The routes of all pages and forms."""
