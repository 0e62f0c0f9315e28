"""Named tokens: who shows one may do what it says, until it is withdrawn."""

from __future__ import annotations

import json
import re
import resource
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from queuectl.domain.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from queuectl.domain.job import State
from queuectl.queue import Queue
from queuectl.system.home import Home
from queuectl.web.api import ENDPOINTS
from queuectl.web.app import _may_go_on
from queuectl.web.tokens import Tokens
from tests.cli.harness import Cli, cli
from tests.web.kit import Served, add, csrf_of, policy
from tests.web.test_security import bearer

__all__ = ["cli"]


def logged_in(served: Served, secret: str) -> TestClient:
    """Return a browser that has logged in with a token."""
    client = served.client()
    mark = csrf_of(client.get("/login").text)
    answer = client.post("/login", data={"token": secret, "_csrf": mark, "next": "/"})
    assert answer.status_code == 303
    return client


def test_a_token_lets_in_until_it_is_withdrawn_and_a_session_with_it(
    served: Served, queue: Queue
) -> None:
    add(queue, "a")
    secret = served.state.tokens.new("ci")
    program, browser = served.client("192.0.2.7"), logged_in(served, secret)
    assert program.get("/api/status").status_code == 401
    assert program.post("/api/jobs/a/pause", headers=bearer(secret)).status_code == 200
    assert "Log out" in browser.get("/").text
    access = served.state.sessions.get(browser.cookies["queuectl_session_8273"])
    assert access
    served.state.tokens.revoke("ci")
    assert program.get("/api/status", headers=bearer(secret)).status_code == 401
    assert "Log out" not in browser.get("/").text
    csrf = {"x-csrf-token": access.csrf}
    assert browser.post("/api/jobs/a/resume", headers=csrf).status_code == 401
    assert queue.get("a").paused
    served.state.tokens.new("ci")
    assert "Log out" not in browser.get("/").text, "another token of that name is another one"


def test_who_has_a_read_only_token_looks_and_changes_nothing(served: Served, full: Queue) -> None:
    secret = served.state.tokens.new("screen", read_only=True)
    program, browser = served.client("192.0.2.7"), logged_in(served, secret)
    assert program.get("/api/status", headers=bearer(secret)).status_code == 200
    before = {job.id: job.rev for job in full.find()}
    for endpoint in ENDPOINTS:
        if endpoint.changes:
            path = f"/api{endpoint.path.format(id='dead1', name='default', key='max_retries')}"
            answer = program.request(endpoint.method, path, headers=bearer(secret))
            assert (answer.status_code, answer.json()["detail"]) == (403, "this token is read-only")
    for path in ("/", "/jobs", "/jobs/dead1", "/dlq", "/queues", "/schedules", "/hooks",
                 "/settings", "/workers"):  # fmt: skip
        page = browser.get(path).text
        assert "screen Read-only" in page
        forms = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', page)
        assert forms == ["/logout"], path
    csrf = csrf_of(browser.get("/").text)
    fields = {"_csrf": csrf, "_do": "retryJob", "id": "dead1", "_sure": "yes"}
    assert browser.post("/do", data=fields).status_code == 403
    headers = {"x-csrf-token": csrf}
    assert browser.post("/api/jobs/dead1/retry", headers=headers).status_code == 403
    assert {job.id: job.rev for job in full.find()} == before
    assert full.get("dead1").state is State.DEAD
    assert browser.post("/logout", data={"_csrf": csrf}).status_code == 303
    assert "Log in" in browser.get("/").text


def test_a_stream_of_a_token_that_is_withdrawn_ends(served: Served) -> None:
    from queuectl.web.access import Access

    tokens = served.state.tokens
    token = tokens.find(tokens.new("wall", read_only=True))
    access = Access(True, False, who="token:wall", token=token)
    assert _may_go_on(served.state, access)
    tokens.revoke("wall")
    assert not _may_go_on(served.state, access)


def test_a_dashboard_that_is_read_only_is_so_for_every_token() -> None:
    with Served(policy(read_only=True)) as served:
        secret = served.state.tokens.new("a")
        answer = served.client().post("/api/jobs", json={"command": "x"}, headers=bearer(secret))
        assert answer.status_code == 403


def test_what_is_kept_of_a_token_is_its_digest_readable_by_its_owner_alone(home: Path) -> None:
    tokens = Tokens(Home(home))
    home.mkdir()
    secret = tokens.new("ci", read_only=True)
    file = home / "dashboard.tokens" / "ci"
    assert (len(secret), secret in file.read_text()) == (43, False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with pytest.raises(Conflict):
        tokens.new("ci")
    with pytest.raises(NotFound, match="did you mean 'ci'"):
        tokens.revoke("cii")
    for name in ("../x", "a/b", "", ".x"):
        with pytest.raises(InvalidInput):
            tokens.new(name)
        with pytest.raises(InvalidInput):
            tokens.revoke(name)


def test_a_token_that_cannot_be_written_takes_no_name(home: Path) -> None:
    home.mkdir()
    tokens = Tokens(Home(home))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(StoreUnavailable):
            tokens.new("ci")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((home / "dashboard.tokens").iterdir()) == []
    assert tokens.find(tokens.new("ci")) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": 1}', '{"sha256": "a"}', "\0\xff"])
def test_a_file_that_holds_no_token_lets_nobody_in(home: Path, text: str) -> None:
    home.mkdir()
    tokens = Tokens(Home(home))
    secret = tokens.new("good")
    (home / "dashboard.tokens" / "bad").write_text(text, encoding="latin-1")
    assert [each.name for each in tokens.all()] == ["good"]
    assert tokens.find("") is None
    assert tokens.find(secret) is not None
    (home / "dashboard.tokens").chmod(0o777)
    with pytest.raises(InvalidInput, match="others can write"):
        tokens.find(secret)


def test_the_command_line_makes_lists_and_withdraws_them(cli: Cli, home: Path) -> None:
    assert "no named tokens" in cli.ok("dashboard", "token").err
    made = cli.ok("dashboard", "token", "new", "ci", "--read-only")
    secret = made.out.strip()
    assert "not shown again" in made.err
    cli.ok("dashboard", "token", "new", "alice")
    assert "already" in cli.refused(4, "dashboard", "token", "new", "ci")
    found = Tokens(Home(home)).find(secret)
    assert found
    assert (found.name, found.read_only) == ("ci", True)
    listed = json.loads(cli.ok("dashboard", "token", "list", "--json").out)
    assert [(each["name"], each["read_only"]) for each in listed] == [
        ("alice", False), ("ci", True),
    ]  # fmt: skip
    text = cli.ok("dashboard", "token", "list").out
    assert re.search(r"ci +look", text)
    assert secret not in text
    assert "Revoked token 'ci'" in cli.ok("dashboard", "token", "revoke", "ci").out
    assert "no token 'ci'" in cli.refused(3, "dashboard", "token", "revoke", "ci")
    assert Tokens(Home(home)).find(secret) is None
