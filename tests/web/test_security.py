"""Who may see and change what, and what a page may do in a browser."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.system.home import Home
from queuectl.web.access import (
    FAILURE_SECONDS,
    MOST_FAILURES,
    SESSION_SECONDS,
    Failures,
    Sessions,
    named_token,
    own_token,
)
from queuectl.web.api import ENDPOINTS
from queuectl.web.server import Options, policy_of
from tests.web.kit import HOST, TOKEN, Served, add, csrf_of, policy, press

FAR = "192.0.2.7"
OPEN = ("/healthz", "/login", "/static/style.css")
READING = ("/", "/jobs", "/api/status", "/api/openapi.json", "/events?job=a", "/metrics")


def bearer(token: str = TOKEN) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"authorization": f"Bearer {token}"}


def test_who_is_on_this_machine_may_look_and_not_change(served: Served, queue: Queue) -> None:
    add(queue, "a")
    client = served.client()
    assert client.get("/jobs/a").status_code == 200
    assert client.post("/api/jobs/a/cancel").status_code == 401
    assert client.post("/do", data={"_do": "cancelJob", "id": "a"}).status_code == 303
    assert queue.get("a").state is State.PENDING


@pytest.mark.parametrize(
    ("address", "headers", "changes"),
    [
        (FAR, {}, {}),
        ("127.0.0.1", {"x-forwarded-for": FAR}, {}),
        ("127.0.0.1", {"forwarded": f"for={FAR}"}, {}),
        ("127.0.0.1", {}, {"open_reading": False}),
    ],
)
def test_whoever_else_looks_needs_the_token(
    address: str, headers: dict[str, str], changes: dict[str, bool]
) -> None:
    with Served(policy(**changes)) as served:
        client = served.client(address)
        for path in READING:
            refused = client.get(path, headers={**headers, "accept": "*/*"})
            assert refused.status_code == 401, path
            assert refused.headers["content-type"] == "application/problem+json"
        leads = client.get("/jobs", headers=headers)
        assert leads.headers["location"] == "/login?next=/jobs"
        for path in OPEN:
            assert client.get(path, headers=headers).status_code == 200, path
        assert client.get("/api/status", headers={**headers, **bearer()}).status_code == 200


def test_every_change_is_refused_to_the_unknown_and_to_all_when_read_only(queue: Queue) -> None:
    add(queue, "a")
    for read_only, headers, status in ((False, {}, 401), (True, bearer(), 403)):
        with Served(policy(read_only=read_only)) as served:
            client = served.client()
            for endpoint in ENDPOINTS:
                if endpoint.changes:
                    path = f"/api{endpoint.path.format(id='a', name='a', key='a')}"
                    answer = client.request(endpoint.method, path, headers=headers)
                    assert answer.status_code == status, endpoint.name
    assert queue.get("a").rev == 1


def test_a_session_needs_its_own_mark_on_every_change(served: Served, queue: Queue) -> None:
    add(queue, "a")
    client = served.logged_in()
    mark = csrf_of(client.get("/jobs/a").text)
    other = csrf_of(served.logged_in().get("/jobs/a").text)
    for headers in ({}, {"x-csrf-token": other}, {"x-csrf-token": ""}):
        assert client.post("/api/jobs/a/cancel", headers=headers).status_code == 403
    form = {"_do": "cancelJob", "id": "a"}
    for fields in (form, {**form, "_csrf": other}):
        assert client.post("/do", data=fields).status_code == 403
    assert queue.get("a").state is State.PENDING
    assert client.post("/api/jobs/a/cancel", headers={"x-csrf-token": mark}).status_code == 200


def test_the_cookie_that_other_sites_links_carry_changes_nothing(
    served: Served, queue: Queue
) -> None:
    add(queue, "a")
    client = served.logged_in()
    mark = csrf_of(client.get("/jobs/a").text)
    del client.cookies["queuectl_change_8273"]
    assert "Log out" in client.get("/jobs/a").text
    for path in ("/api/jobs/a/cancel", "/do", "/logout"):
        assert client.post(path, headers={"x-csrf-token": mark}).status_code == 403, path
    assert queue.get("a").state is State.PENDING


def test_logging_in_leads_back_to_the_filter_that_one_came_for() -> None:
    with Served(policy(open_reading=False)) as served:
        client = served.client()
        asked = "/jobs?state=failed&text=a%20%26b"
        shown = client.get(client.get(asked).headers["location"]).text
        assert f'name="next" value="{asked.replace("&", "&amp;")}"' in shown


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "null", "sec-fetch-site": "none"}, 403),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": f"http://{HOST}"}, 200),
    ],
)
def test_a_change_that_a_page_of_another_site_sends_is_refused(
    served: Served, queue: Queue, headers: dict[str, str], status: int
) -> None:
    add(queue, "a")
    client = served.logged_in()
    mark = csrf_of(client.get("/jobs/a").text)
    answer = client.post("/api/jobs/a/cancel", headers={**headers, "x-csrf-token": mark})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 421) for host in (
            "evil.example", "evil.example:8273", "127.0.0.1.evil.example", ""
        )),
        *((host, 200) for host in ("localhost:8273", "127.0.0.1", "[::1]:8273", "LOCALHOST")),
    ],
)  # fmt: skip
def test_our_own_names_alone_are_answered(served: Served, host: str, status: int) -> None:
    for path in ("/", "/login", "/healthz"):
        answer = served.client().get(path, headers={"host": host, **bearer()})
        assert answer.status_code == status


PROXY = "https://queue.example.org"


@pytest.mark.parametrize(
    ("host", "more", "open_reading", "ours", "others"),
    [
        ("127.0.0.1", {}, True, "localhost", "192.0.2.1"),
        ("127.0.0.1", {"require_token": True}, False, "localhost", "192.0.2.1"),
        ("127.0.0.1", {"url": PROXY}, False, "queue.example.org", "192.0.2.1"),
        ("0.0.0.0", {}, False, "192.0.2.1:8273", "evil.example"),
    ],
)
def test_the_policy_follows_from_host_and_url(
    host: str, more: dict[str, Any], open_reading: bool, ours: str, others: str
) -> None:
    allowed = policy_of(Options(host, 0, **more), TOKEN, 8273)
    assert allowed.open_reading is open_reading
    assert (allowed.is_host(ours), allowed.is_host(others)) == (True, False)
    assert allowed.secure is ("url" in more)


@pytest.mark.parametrize("url", ["queue.example.org", "ftp://a", "https://a/path"])
def test_an_address_of_a_proxy_is_that_of_a_whole_host(url: str) -> None:
    with pytest.raises(InvalidInput):
        policy_of(Options("127.0.0.1", 0, url=url), TOKEN, 1)


def test_every_answer_tells_the_browser_to_run_nothing_but_our_script(served: Served) -> None:
    client = served.client()
    for path in ("/", "/login", "/nothing", "/api/status", "/api/nothing", "/static/app.js",
                 "/healthz"):  # fmt: skip
        headers = client.get(path).headers
        rules = dict(
            rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";")
        )
        assert rules == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
            "img-src": "'self' data:", "connect-src": "'self'", "form-action": "'self'",
            "frame-ancestors": "'none'", "base-uri": "'none'",
        }, path  # fmt: skip
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == ("no-cache" if "static" in path else "no-store")


@pytest.mark.parametrize("origin", [PROXY, None])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(origin: str | None) -> None:
    with Served(policy(origin=origin)) as served:
        client = served.client()
        form = client.get("/login")
        # by hand: a browser that spoke plain http would not send a cookie that is marked so
        headers = {"cookie": form.headers["set-cookie"].split(";")[0]}
        fields = {"token": TOKEN, "_csrf": csrf_of(form.text)}
        answer = client.post("/login", data=fields, headers=headers)
        assert answer.status_code == 303
        for line in (*form.headers.get_list("set-cookie"), *answer.headers.get_list("set-cookie")):
            marks = {part.strip().lower() for part in line.split(";")}
            is_for_looking = line.startswith("queuectl_session")
            assert marks >= {"httponly", "samesite=lax" if is_for_looking else "samesite=strict"}
            assert ("secure" in marks) is (origin is not None)


def test_logging_in_needs_the_token_and_a_form_of_ours(served: Served) -> None:
    client = served.client()
    mark = csrf_of(client.get("/login").text)
    assert client.post("/login", data={"token": TOKEN}).status_code == 403
    wrong = client.post("/login", data={"token": TOKEN + "x", "_csrf": mark})
    assert wrong.status_code == 401
    assert "not the token" in wrong.text
    assert TOKEN not in wrong.text
    away = client.post("/login", data={"token": TOKEN, "_csrf": mark, "next": "//evil.example"})
    assert away.headers["location"] == "/"


def test_logging_out_ends_the_session(served: Served, queue: Queue) -> None:
    add(queue, "a")
    client = served.logged_in()
    cookies = dict(client.cookies)
    client.post("/logout", data={"_csrf": csrf_of(client.get("/jobs/a").text)})
    client.cookies.update(cookies)
    assert 'action="/do"' not in client.get("/jobs/a").text


def test_too_many_wrong_tokens_make_an_address_wait(served: Served) -> None:
    far, other = served.client(FAR), served.client("192.0.2.8")
    for _ in range(MOST_FAILURES):
        assert far.get("/api/status", headers=bearer("wrong")).status_code == 401
    refused = far.get("/api/status", headers=bearer())
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= FAILURE_SECONDS + 1
    assert other.get("/api/status", headers=bearer()).status_code == 200
    mark = csrf_of(far.get("/login").text)
    assert far.post("/login", data={"token": TOKEN, "_csrf": mark}).status_code == 429


def test_an_address_may_try_again_after_a_while_and_a_session_runs_out() -> None:
    now = [0.0]
    failures, sessions = Failures(lambda: now[0]), Sessions(lambda: now[0])
    for _ in range(MOST_FAILURES):
        failures.add(FAR)
    name, session = sessions.open()
    assert failures.seconds_left(FAR) == FAILURE_SECONDS
    assert sessions.get(name) is session
    assert sessions.get("another") is None
    now[0] = FAILURE_SECONDS
    assert failures.seconds_left(FAR) == 0
    assert sessions.get(name) is session
    now[0] = SESSION_SECONDS
    assert sessions.get(name) is None


def test_a_form_cannot_lead_to_another_site(served: Served, queue: Queue) -> None:
    add(queue, "a")
    client = served.logged_in()
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb: c"):
        answer = press(client, "/jobs/a", "pauseJob", id="a", _back=back)
        assert answer.headers["location"] == "/", back


def test_a_job_that_is_enqueued_here_cannot_read_the_files_of_the_dashboard(
    served: Served, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("A=1\n")
    client = served.client()
    for fields in ({"env_file": str(tmp_path / "env")}, {"capture-env": True}):
        answer = client.post("/api/jobs", json={"command": "true", **fields}, headers=bearer())
        assert answer.status_code == 400
        assert "cannot be used here" in answer.json()["detail"]


def test_a_body_that_is_too_large_is_not_read(served: Served) -> None:
    answer = served.client().post("/api/jobs", content=b" " * 2_000_000, headers=bearer())
    assert answer.status_code == 413


def test_the_token_is_made_once_and_for_its_owner_alone(home: Path) -> None:
    found = Home(home)
    found.make()
    token = own_token(found)
    assert len(token) >= 40
    assert own_token(found) == token
    assert stat.S_IMODE(found.token_file.stat().st_mode) == 0o600
    found.token_file.chmod(0o644)
    with pytest.raises(InvalidInput, match="others can read"):
        own_token(found)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, "schlüssel-mit-umlaut-".encode()])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(InvalidInput):
        named_token(tmp_path / "token")
