"""Whom a proxy says that it is: believed of the proxies that are listed, and of nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.queue import Queue
from queuectl.web.server import Options, policy_of
from tests.web.kit import TOKEN, Served, add, csrf_of, policy
from tests.web.test_security import bearer

HEADER = "X-Forwarded-User"
PROXY, FAR = "10.1.2.3", "192.0.2.7"
ALICE = {HEADER: "alice"}


@pytest.fixture
def served() -> Iterator[Served]:
    """A dashboard that believes proxies in one network."""
    trusted = (ip_network("10.0.0.0/8"), ip_network("::1"))
    with Served(policy(trust_header=HEADER, trust_from=trusted, open_reading=False)) as dashboard:
        yield dashboard


def test_whom_a_listed_proxy_names_is_in_is_shown_and_may_change(
    served: Served, queue: Queue
) -> None:
    add(queue, "a")
    browser = served.client(PROXY)
    browser.headers.update(ALICE)
    page = browser.get("/jobs/a")
    assert page.status_code == 200
    assert ">alice<" in page.text
    assert "Log out" not in page.text
    csrf = csrf_of(page.text)
    headers = {"x-csrf-token": csrf}
    assert browser.post("/api/jobs/a/pause").status_code == 403, "no mark of a page of ours"
    assert browser.post("/api/jobs/a/pause", headers=headers).status_code == 200
    fields = {"_csrf": csrf, "_do": "resumeJob", "id": "a", "_back": "/jobs/a"}
    assert browser.post("/do", data=fields).headers["location"] == "/jobs/a"
    assert not queue.get("a").paused
    assert "set-cookie" not in browser.get("/jobs").headers, "the session goes on"


@pytest.mark.parametrize("address", [FAR, "127.0.0.1", "11.0.0.1"])
def test_nobody_else_is_believed_whatever_it_says_of_its_way(served: Served, address: str) -> None:
    client = served.client(address)
    for more in ({}, {"x-forwarded-for": PROXY}, {"forwarded": f"for={PROXY}"},
                 {"x-real-ip": PROXY}):  # fmt: skip
        headers = {**ALICE, **more, "accept": "*/*"}
        assert client.get("/api/status", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "values", [["alice", "bob"], ["alice", "alice"], [""], [" "], ["alice, bob"], ["a\tb"],
               ["a" * 300]],
)  # fmt: skip
def test_a_header_that_does_not_say_who_it_is_is_refused(served: Served, values: list[str]) -> None:
    client = served.client(PROXY)
    pairs = [(HEADER, value) for value in values]
    for path in ("/", "/api/status", "/login"):
        refused = client.get(path, headers=pairs)
        assert refused.status_code == 403, path
        assert "set-cookie" not in refused.headers


def test_without_the_header_a_token_is_needed_and_goes_before_it(served: Served) -> None:
    client = served.client(PROXY)
    assert client.get("/api/status").status_code == 401
    assert client.get("/api/status", headers=bearer()).status_code == 200
    assert client.post("/api/jobs", json={"command": "x"}, headers=bearer()).status_code == 201
    wrong = {**bearer("wrong"), **ALICE}
    assert client.get("/api/status", headers=wrong).status_code == 401


def test_a_session_is_that_of_its_user_and_worth_nothing_past_the_proxy(
    served: Served, queue: Queue
) -> None:
    add(queue, "a")
    browser = served.client(PROXY)
    csrf = csrf_of(browser.get("/jobs/a", headers=ALICE).text)
    headers = {"x-csrf-token": csrf}
    bob = {HEADER: "bob", **headers}
    assert browser.post("/api/jobs/a/pause", headers=bob).status_code == 401
    assert browser.post("/api/jobs/a/pause", headers=headers).status_code == 401
    far = served.client(FAR)
    far.cookies.update(browser.cookies)
    assert far.get("/api/status", headers={**ALICE, "accept": "*/*"}).status_code == 401
    assert ">bob<" in browser.get("/", headers={HEADER: "bob"}).text
    assert not queue.get("a").paused


def test_a_read_only_dashboard_is_so_for_users_too(queue: Queue) -> None:
    add(queue, "a")
    trusted = (ip_network(PROXY),)
    with Served(policy(read_only=True, trust_header=HEADER, trust_from=trusted)) as served:
        browser = served.client(PROXY)
        page = browser.get("/jobs/a", headers=ALICE).text
        assert "alice Read-only" in page
        assert 'method="post"' not in page


def test_a_peer_whose_address_is_written_in_the_longer_way_is_the_same() -> None:
    allowed = policy_of(
        Options("::", 0, trust_header=HEADER, trust_from="127.0.0.1, 10.0.0.0/8,::1"), TOKEN, 1
    )
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.9.9.9", "::1"):
        assert allowed.trusts(address), address
    for address in ("127.0.0.2", "::ffff:192.0.2.1", "", "testclient", "unix:"):
        assert not allowed.trusts(address), address
    assert not allowed.open_reading
    assert not policy().trusts("127.0.0.1")


@pytest.mark.parametrize(
    ("header", "peers"),
    [(HEADER, None), (None, "127.0.0.1"), (HEADER, ""), (HEADER, "example.org"), (HEADER, "10/33"),
     ("X User", "127.0.0.1"), ("Cookie", "127.0.0.1"), ("", "127.0.0.1")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(header: str | None, peers: str | None) -> None:
    with pytest.raises(InvalidInput):
        policy_of(Options("127.0.0.1", 0, trust_header=header, trust_from=peers), TOKEN, 1)
