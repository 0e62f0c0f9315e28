"""What every request passes: the name it was sent to, who sent it, and what it may do."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queuectl.web.access import Access, is_loopback, is_same
from queuectl.web.app_state import AppState
from queuectl.web.http import problem

CSRF_HEADER = "x-csrf-token"
FORM_PATHS = frozenset({"/do", "/ask", "/logout"})
"""Where forms are posted to, which carry their token in a field that is looked at there."""

_OPEN = frozenset({"/healthz", "/login"})
_SAFE = frozenset({"GET", "HEAD"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuses what is not allowed before any handler sees it, and marks every answer."""

    def __init__(self, app: ASGIApp, state: AppState) -> None:
        self._app = app
        self._state = state
        self._policy = state.policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._admit(Request(scope))
        await (refusal or self._app)(scope, receive, marked)

    def _admit(self, request: Request) -> Response | None:
        """Note in the request what it may do; return why it is refused, if it is."""
        if not self._policy.is_host(request.headers.get("host", "")):
            hint = "call it by the address that it printed, or start it with --url"
            return problem(421, "this is not the address of the dashboard", hint)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        by_token = scheme.lower() == "bearer"
        if by_token:
            if refusal := try_token(self._state, request, token.strip()):
                return refusal
            access = Access(True, not self._policy.read_only)
        else:
            access = self._of_browser(request)
        request.state.access = access
        path = request.url.path
        if request.method in _SAFE:
            is_open = path in _OPEN or path.startswith("/static/")
            return None if access.may_read or is_open else _unknown(request)
        return None if path == "/login" else self._refused_change(request, access, by_token)

    def _of_browser(self, request: Request) -> Access:
        cookie = request.cookies.get(self._policy.cookie, "")
        session = self._state.sessions.get(cookie)
        is_known = session is not None
        may_read = is_known or (self._policy.open_reading and is_local(request))
        return Access(may_read, is_known and not self._policy.read_only, session, cookie)

    def _refused_change(self, request: Request, access: Access, by_token: bool) -> Response | None:
        path = request.url.path
        if self._policy.read_only and path != "/logout":
            return problem(403, "this dashboard is read-only", "start it without --read-only")
        session = access.session
        if not by_token and session is None:
            return _unknown(request)
        is_own = session is None or is_same(self._change_key(request), session.change_key)
        if not (is_own and self._is_own_origin(request)):
            return problem(403, "this was sent by a page of another site")
        csrf = request.headers.get(CSRF_HEADER, "")
        if by_token or path in FORM_PATHS or is_same(csrf, access.csrf):
            return None
        return problem(403, f"the header {CSRF_HEADER} is missing or wrong", "load the page again")

    def _change_key(self, request: Request) -> str:
        return request.cookies.get(self._policy.change_cookie, "")

    def _is_own_origin(self, request: Request) -> bool:
        """Whether a page of ours sent it, or a program.

        A page whose policy is to send no referrer posts its forms with the origin `null`; so does
        one in a sandbox. Which of the two it is the browser says beside it.
        """
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if origin is None:
            return site in (None, "none", "same-origin")
        if origin == "null":
            return site == "same-origin"
        if origin == self._policy.origin:
            return True
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


def try_token(state: AppState, request: Request, token: str) -> Response | None:
    """Return why a token is refused; None when it is the right one."""
    address = request.client.host if request.client else ""
    if left := state.failures.seconds_left(address):
        refusal = problem(429, "too many wrong tokens", f"try again in {left:.0f} s")
        refusal.headers["retry-after"] = f"{left + 1:.0f}"
        return refusal
    if is_same(token, state.policy.token):
        return None
    state.failures.add(address)
    return problem(401, "this is not the token of the dashboard")


def is_local(request: Request) -> bool:
    """Whether a request was sent on this machine, and not passed on by a proxy."""
    client = request.client
    is_passed_on = any(name in request.headers for name in _FORWARDED)
    return client is not None and is_loopback(client.host) and not is_passed_on


def _unknown(request: Request) -> Response:
    """Ask who it is: a person by the log-in page, a program by a status."""
    path = request.url.path
    if path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        refusal = problem(401, "the token of the dashboard is needed",
                          "send the header Authorization: Bearer TOKEN")  # fmt: skip
        refusal.headers["www-authenticate"] = "Bearer"
        return refusal
    query = request.url.query
    back = f"{path}?{query}" if query else path
    if request.method not in _SAFE:
        back = "/"
    return RedirectResponse(f"/login?next={quote(back, safe='/')}", status_code=303)
