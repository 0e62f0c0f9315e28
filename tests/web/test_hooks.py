"""Hooks on the dashboard: tried out, and their deliveries, each of which can be made again."""

from __future__ import annotations

from starlette.testclient import TestClient

from queuectl.domain.job import State
from queuectl.domain.query import Filter
from queuectl.queue import Queue
from queuectl.queue.hook_deliveries import enqueue_deliveries
from tests.hooks.kit import ending, hook
from tests.hooks.receiver import KEY, Receiver, receiving
from tests.web.browser import Visit, chromium, site, visit
from tests.web.kit import Served, add, press
from tests.web.test_security import bearer

__all__ = ["chromium", "site", "visit"]


def delivered(queue: Queue) -> str:
    """Have a hook tell of a death; return the id of the delivery, which was cancelled."""
    enqueue_deliveries(queue.store, [ending(queue.now())])
    (job,) = queue.find(Filter(deliveries=True))
    assert queue.cancel(job.id).state is State.CANCELLED
    return job.id


def test_a_hook_is_tried_out_and_what_came_of_it_is_said(api: TestClient, queue: Queue) -> None:
    with receiving(Receiver()) as receiver:
        queue.hooks.add(hook("team", address=receiver.url, events=("dead",), secret=KEY))
        answer = api.post("/api/hooks/team/test")
        assert answer.status_code == 200
        assert answer.json()["hook"] == "team"
        (post,) = receiver.got(1)
        assert post.is_signed
        receiver.answers.append(503)
        refused = api.post("/api/hooks/team/test")
    assert refused.status_code == 502
    assert "hook 'team': " in refused.json()["detail"]
    assert "503" in refused.json()["detail"]
    for text in (answer.text, refused.text, api.get("/hooks").text):
        assert "s3cr3t" not in text
    assert [entry.act for entry in queue.audit()] == ["hook test"] * 2
    assert api.post("/api/hooks/nobody/test").status_code == 404


def test_who_may_only_look_tries_nothing_out(served: Served, queue: Queue) -> None:
    with receiving(Receiver()) as receiver:
        queue.hooks.add(hook("team", address=receiver.url, events=("dead",)))
        secret = served.state.tokens.new("screen", read_only=True)
        for headers, status in (({}, 401), (bearer(secret), 403)):
            answer = served.client().post("/api/hooks/team/test", headers=headers)
            assert answer.status_code == status
        assert receiver.posts == []
        assert "testHook" not in served.client().get("/hooks").text


def test_one_delivery_is_made_again_from_its_own_page(browser: TestClient, queue: Queue) -> None:
    queue.hooks.add(hook("team", events=("dead",)))
    delivery = delivered(queue)
    page = browser.get("/deliveries").text
    assert f'name="id" value="{delivery}"' in page
    answer = press(browser, "/deliveries", "retryJob", id=delivery)
    assert answer.headers["location"] == "/deliveries"
    assert queue.get(delivery).state is State.PENDING
    assert f'name="id" value="{delivery}"' not in browser.get("/deliveries").text


def test_deliveries_are_in_no_other_list(
    browser: TestClient, api: TestClient, queue: Queue
) -> None:
    add(queue, "a")
    queue.hooks.add(hook("team", events=("dead",)))
    delivery = delivered(queue)
    for path in ("/", "/jobs", "/jobs?state=cancelled", "/jobs?text=hook", "/dlq", "/queues"):
        assert delivery not in browser.get(path).text, path
    for path in ("/api/jobs", "/api/jobs?state=cancelled", "/api/dlq", "/api/queues"):
        assert delivery not in api.get(path).text, path
    assert api.get("/api/status").json()["counts"]["total"] == 1
    assert delivery in browser.get("/deliveries").text


def test_a_button_tries_a_hook_out_in_a_browser(visit: Visit, queue: Queue) -> None:
    with receiving(Receiver()) as receiver:
        queue.hooks.add(hook("team", address=receiver.url, events=("dead",)))
        visitor = visit()
        visitor.go("/hooks")
        visitor.page.click("button:text-is('Test')")
        visitor.page.wait_for_selector(".toast.ok:has-text(\"Hook 'team': delivered\")")
        receiver.got(1)
        visitor.require_peace("hooks")
