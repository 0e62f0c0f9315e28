"""What every request passes: the name it was sent to, who sent it, and what it may do."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queuectl.web.access import Access, Failures, Policy, Sessions, is_loopback, is_same
from queuectl.web.http import problem

CSRF_HEADER = "x-csrf-token"
FORM_PATHS = frozenset({"/do", "/logout"})
"""Where forms are posted to, which carry their token in a field that is looked at there."""

_OPEN = frozenset({"/healthz", "/login"})
_SAFE = frozenset({"GET", "HEAD"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuses what is not allowed before any handler sees it, and marks every answer."""

    def __init__(
        self, app: ASGIApp, policy: Policy, sessions: Sessions, failures: Failures
    ) -> None:
        self._app = app
        self._policy = policy
        self._sessions = sessions
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._admit(request)
        await (refusal or self._app)(scope, receive, _marked(send))

    def _admit(self, request: Request) -> Response | None:
        """Note in the request what it may do; return why it is refused, if it is."""
        if not self._policy.is_host(request.headers.get("host", "")):
            hint = "call it by the address that it printed, or start it with --url"
            return problem(421, "this is not the address of the dashboard", hint)
        shown = bearer(request)
        if shown is not None:
            if refusal := try_token(self._policy, self._failures, request, shown):
                return refusal
            access = Access(True, not self._policy.read_only)
        else:
            access = self._of_browser(request)
        request.state.access = access
        path = request.url.path
        if request.method in _SAFE:
            is_open = path in _OPEN or path.startswith("/static/")
            return None if access.may_read or is_open else _unknown(request)
        return None if path == "/login" else self._may_change(request, access, shown is not None)

    def _of_browser(self, request: Request) -> Access:
        cookie = request.cookies.get(self._policy.cookie, "")
        session = self._sessions.get(cookie) if cookie else None
        is_known = session is not None
        may_read = is_known or (self._policy.open_reading and is_local(request))
        return Access(may_read, is_known and not self._policy.read_only, session, cookie)

    def _may_change(self, request: Request, access: Access, by_token: bool) -> Response | None:
        if self._policy.read_only and request.url.path != "/logout":
            return problem(403, "this dashboard is read-only", "start it without --read-only")
        if not by_token and access.session is None:
            return _unknown(request)
        if not self._is_own_origin(request):
            return problem(403, "this was sent by a page of another site")
        is_form = request.url.path in FORM_PATHS
        given = request.headers.get(CSRF_HEADER, "")
        if by_token or is_form or is_same(given, access.csrf):
            return None
        return problem(403, f"the header {CSRF_HEADER} is missing or wrong", "load the page again")

    def _is_own_origin(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None:
            return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if origin == self._policy.origin:
            return True
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


def bearer(request: Request) -> str | None:
    """Return the token that a program shows, None when it shows none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def try_token(policy: Policy, failures: Failures, request: Request, shown: str) -> Response | None:
    """Return why a token is refused; None when it is the right one."""
    address = request.client.host if request.client else ""
    if left := failures.seconds_left(address):
        refusal = problem(429, "too many wrong tokens", f"try again in {left:.0f} s")
        refusal.headers["retry-after"] = f"{left + 1:.0f}"
        return refusal
    if policy.is_token(shown):
        return None
    failures.add(address)
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
    back = path if request.method in _SAFE else "/"
    return RedirectResponse(f"/login?next={quote(back)}", status_code=303)


def _marked(send: Send) -> Send:
    """Return a `send` that adds the headers of every answer."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = list(message.get("headers", ()))
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return marked
