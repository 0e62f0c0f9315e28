"""What every request passes: the name it was sent to, who sent it, and what it may do."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queuectl.web.access import Access, Session, is_loopback, is_same
from queuectl.web.app_state import AppState
from queuectl.web.cookies import set_session
from queuectl.web.http import lead_to, problem
from queuectl.web.tokens import OWN, Token

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
                if scope["method"] not in _SAFE:
                    self._state.pages.forget()  # before whoever has changed something looks
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
                message["headers"] = [*message["headers"], *request.state.cookies]
            await send(message)

        scope = {**scope, "path": self._below_root(scope["path"])}
        request = Request(scope)
        request.state.root, request.state.cookies = self._policy.root, []
        refusal = self._admit(request)
        await (refusal or self._app)(scope, receive, marked)

    def _below_root(self, path: str) -> str:
        """Return a path as seen from the dashboard's root, which some proxies take away first."""
        root = self._policy.root
        if root and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        return path or "/"

    def _admit(self, request: Request) -> Response | None:
        """Note in the request what it may do; return why it is refused, if it is."""
        if not self._policy.is_host(request.headers.get("host", "")):
            hint = "call it by the address that it printed, or start it with --url"
            return problem(421, "this is not the address of the dashboard", hint)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        by_token = scheme.lower() == "bearer"
        found = (self._of_token(request, token.strip()) if by_token
                 else self._of_user(request) or self._of_browser(request))  # fmt: skip
        if isinstance(found, Response):
            return found
        if self._state.sessions.has_ended(found.cookie):
            found = replace(found, may_change=False)
        request.state.access = access = found
        path = request.url.path
        if request.method in _SAFE:
            is_open = path in _OPEN or path.startswith("/static/")
            return None if access.may_read or is_open else _unknown(request)
        return None if path == "/login" else self._refused_change(request, access, by_token)

    def _of_token(self, request: Request, secret: str) -> Access | Response:
        """Return what whoever shows a token may do, or why it is refused."""
        token = try_token(self._state, request, secret)
        return token if isinstance(token, Response) else self._access_of(token)

    def _access_of(
        self, token: Token | None, session: Session | None = None, cookie: str = ""
    ) -> Access:
        may_change = not (self._policy.read_only or (token and token.read_only))
        who = f"token:{token.name}" if token else OWN
        return Access(True, may_change, session, cookie, who, token)

    def _of_user(self, request: Request) -> Access | Response | None:
        """Return what somebody may do of whom a proxy says who it is; None where none does.

        A browser gets a session with its first page, whose mark its forms must carry: what another
        site has it send comes through the proxy too.
        """
        policy = self._policy
        if not policy.trusts(request.client.host if request.client else ""):
            return None
        names = request.headers.getlist(policy.trust_header)
        if not names:
            return None
        if len(names) > 1 or not is_user(names[0]):
            hint = "the proxy must set it once, to one name, and drop what it was sent"
            return problem(403, f"the header {policy.trust_header} does not say who this is", hint)
        user = names[0].strip()
        cookie = request.cookies.get(policy.cookie, "")
        session = self._state.sessions.get(cookie)
        if (session is None or session.user != user) and _wants_page(request):
            cookie, session = self._state.sessions.open(user=user)
            answer = Response()
            set_session(policy, answer, cookie, session.change_key)
            request.state.cookies = [
                each for each in answer.raw_headers if each[0] == b"set-cookie"
            ]
        if session is not None and session.user != user:
            session = None
        may_change = session is not None and not policy.read_only
        return Access(True, may_change, session, cookie if session else "", f"user:{user}")

    def _of_browser(self, request: Request) -> Access:
        cookie = request.cookies.get(self._policy.cookie, "")
        session = self._state.sessions.get(cookie)
        if session is not None and session.user:
            session = None  # it holds together with what the proxy says alone
        if session is not None and session.token and not self._state.tokens.holds(session.token):
            self._state.sessions.close(cookie)
            session = None
        if session is not None:
            return self._access_of(session.token, session, cookie)
        return Access(self._policy.open_reading and is_local(request), False)

    def _refused_change(self, request: Request, access: Access, by_token: bool) -> Response | None:
        path = request.url.path
        if self._policy.read_only and path != "/logout":
            return problem(403, "this dashboard is read-only", "start it without --read-only")
        session = access.session
        has_ended = self._state.sessions.has_ended(access.cookie) and path != "/logout"
        if not by_token and (session is None or has_ended):
            return _unknown(request)
        if access.is_read_only and path != "/logout":
            return problem(403, "this token is read-only", "show one that was made without that")
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


def try_token(state: AppState, request: Request, token: str) -> Token | Response | None:
    """Return why a token is refused, or which one it is: a named one, or None for the home's."""
    address = request.client.host if request.client else ""
    if left := state.failures.seconds_left(address):
        refusal = problem(429, "too many wrong tokens", f"try again in {left:.0f} s")
        refusal.headers["retry-after"] = f"{left + 1:.0f}"
        return refusal
    if is_same(token, state.policy.token):
        return None
    if named := state.tokens.find(token):
        return named
    state.failures.add(address)
    return problem(401, "this is not the token of the dashboard")


def is_user(name: str) -> bool:
    """Whether a header has the name of one user; several that were joined have a comma."""
    return bool(name.strip()) and name.isprintable() and "," not in name and len(name) <= 256


def _wants_page(request: Request) -> bool:
    return request.method in _SAFE and "text/html" in request.headers.get("accept", "")


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
    return lead_to(request, f"/login?next={quote(back, safe='/')}")
