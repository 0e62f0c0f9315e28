"""Who has changed what, as the dashboard notes and shows it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from starlette.testclient import TestClient

from queuectl.queue import Queue
from tests.cli.harness import play_worker
from tests.web.kit import HOSTILE, Served, add, csrf_of, policy, press
from tests.web.test_security import bearer


def acts(queue: Queue) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return who did what, the first act first."""
    return [(each.who, each.act, each.targets) for each in reversed(queue.audit())]


def test_each_change_has_the_name_of_whoever_made_it(
    served: Served, api: TestClient, browser: TestClient, queue: Queue
) -> None:
    add(queue, "a")
    secret = served.state.tokens.new("ci")
    api.post("/api/jobs/a/pause")
    served.client().post("/api/jobs/a/resume", headers=bearer(secret))
    press(browser, "/jobs/a", "cancelJob", id="a")
    worker = play_worker(queue).record.id
    api.post(f"/api/workers/{worker}/stop")
    assert acts(queue) == [
        ("dashboard", "pause", ("a",)),
        ("token:ci", "resume", ("a",)),
        ("dashboard", "cancel", ("a",)),
        ("dashboard", "worker stop", (worker,)),
    ]


def test_whom_a_proxy_names_is_named(queue: Queue) -> None:
    add(queue, "a")
    peers = (ip_network("10.0.0.0/8"),)
    with Served(policy(trust_header="X-Forwarded-User", trust_from=peers)) as served:
        browser = served.client("10.0.0.1")
        browser.headers["x-forwarded-user"] = "alice"
        csrf = csrf_of(browser.get("/jobs/a").text)
        browser.post("/api/jobs/a/pause", headers={"x-csrf-token": csrf})
    assert acts(queue) == [("user:alice", "pause", ("a",))]


def test_what_was_refused_or_only_read_is_not_noted(
    served: Served, api: TestClient, queue: Queue
) -> None:
    add(queue, "a")
    api.get("/api/jobs")
    served.client().get("/jobs/a")
    api.post("/api/jobs/nobody/pause")
    api.post("/api/jobs", json={"command": "true"})
    assert acts(queue) == []


def test_a_part_that_was_done_before_a_refusal_is_noted(api: TestClient, full: Queue) -> None:
    answer = api.post("/api/bulk/cancel", json={"ids": ["later1", "done1"]})
    assert (answer.json()["done"], answer.json()["kept"]) == (1, 1)
    assert acts(full) == [("dashboard", "cancel", ("later1",))]
    api.post("/api/dlq/retry", json={"all": True})
    (entry,) = full.audit(limit=1)
    assert (entry.act, entry.number, entry.about) == ("retry", 2, "state=dead")


@pytest.mark.usefixtures("queue")
def test_the_page_and_the_api_tell_it_a_page_at_a_time(api: TestClient) -> None:
    assert "Nobody has changed anything yet" in api.get("/audit").text
    for number in range(3):
        api.put(f"/api/queues/q{number}/limit", json={"limit": number})
    first = api.get("/api/audit?limit=2").json()
    assert [each["targets"] for each in first["acts"]] == [["q2"], ["q1"]]
    last = api.get(f"/api/audit?limit=2&after={first['next']}").json()
    assert ([each["targets"] for each in last["acts"]], last["next"]) == ([["q0"]], None)
    assert api.get("/api/audit?who=alice&since=1h").json()["acts"] == []
    assert api.get("/api/audit?since=never").status_code == 400
    page = api.get("/audit?limit=2").text
    assert "queue limit" in page
    assert 'href="?after=2"' in page
    assert "No such acts" in api.get("/audit?who=nobody").text


def test_a_name_that_is_html_is_shown_as_text(api: TestClient, queue: Queue) -> None:
    queue.actor = lambda: f"user:{HOSTILE}"
    queue.pause_queue("a")
    queue.flush_notes()
    page = api.get("/audit").text
    assert "<script>document" not in page
    assert "&lt;script&gt;" in page


def test_to_see_it_one_must_be_let_in() -> None:
    with Served(policy(open_reading=False)) as served:
        for path in ("/audit", "/api/audit"):
            answer = served.client().get(path, headers={"accept": "*/*"})
            assert answer.status_code == 401
