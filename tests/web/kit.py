"""A dashboard in this process, the browsers that look at it, and jobs to look at."""

from __future__ import annotations

import re
from typing import Any

from starlette.testclient import TestClient

from queuectl.domain.job import Outcome
from queuectl.queue import Queue
from queuectl.system.home import find_location
from queuectl.web.access import Policy
from queuectl.web.app import build
from tests.cli.harness import claim_next, run_next
from tests.hooks.kit import hook

TOKEN = "a-token-that-nobody-guesses"
HOST = "127.0.0.1:8273"
KEY = "T0-a-key-in-an-address"
"""What is secret of the hook that there is."""

HOSTILE = (
    "<script>document.title='run'</script></script><img src=x onerror=\"document.title='run'\">"
)
"""What must be shown and never run, wherever somebody writes it."""

ANSI = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x07\x1b[2J\x00 \u202e"
"""Colours, a title of the terminal, a bell, a cleared screen, a NUL, a mark that turns text."""


def policy(**changes: Any) -> Policy:
    """Return what a dashboard on this machine allows, with some changes."""
    return Policy(**{"token": TOKEN, "port": 8273, **changes})


class Served:
    """A dashboard that is served while the context lasts."""

    def __init__(self, policy: Policy) -> None:
        self.app, self.state = build(find_location(), policy)
        self._main = TestClient(self.app)

    def __enter__(self) -> Served:
        self._main.__enter__()
        return self

    def __exit__(self, *fault: Any) -> None:
        self._main.__exit__(*fault)

    def client(self, address: str = "127.0.0.1", host: str = HOST) -> TestClient:
        """Return who asks from an address, a browser or a program, unknown as yet."""
        return TestClient(
            self.app,
            base_url=f"http://{host}",
            client=(address, 50_000),
            headers={"accept": "text/html,*/*"},
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def logged_in(self, address: str = "127.0.0.1") -> TestClient:
        """Return a browser that has logged in."""
        client = self.client(address)
        mark = csrf_of(client.get("/login").text)
        answer = client.post("/login", data={"token": TOKEN, "_csrf": mark, "next": "/jobs"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
        return client


def csrf_of(page: str) -> str:
    """Return what the forms of a page must carry."""
    found = re.search(r'name="_csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def press(client: TestClient, page: str, what: str, **fields: Any) -> Any:
    """Send a form of a page as a browser without scripts would, and be sure of it."""
    csrf = csrf_of(client.get(page).text)
    return client.post(
        "/do", data={"_csrf": csrf, "_do": what, "_back": page, "_sure": "yes", **fields}
    )


def add(queue: Queue, job_id: str, command: str = "true", /, **fields: Any) -> None:
    """Enqueue one job."""
    (result,) = queue.enqueue([queue.request({"id": job_id, "command": command, **fields})])
    assert result.error is None, result


def fill(queue: Queue) -> None:
    """Put ten jobs into a queue: two completed, two dead, a failed, a running and four waiting."""
    for number in (1, 2):
        add(queue, f"done{number}", "echo done", labels=["video"])
        run_next(queue, Outcome(exit_code=0, duration=0.5, stdout="done\n"))
        add(queue, f"dead{number}", f"exit {number}", max_retries=1)
        run_next(queue, Outcome(exit_code=number, error=f"Exit code {number}", stderr="oh no\n"))
    add(queue, "failed1", "exit 3", backoff_base=3600)
    run_next(queue, Outcome(exit_code=3, error="Exit code 3"))
    add(queue, "running1", "sleep 100")
    claim_next(queue)
    add(queue, "mail1", "./send.sh", queue="mail")
    queue.pause_queue("mail")
    add(queue, "later1", "./backup.sh", **{"in": "2h"})
    add(queue, "child1", "./report.sh", after=["dead1"])
    add(queue, "held1", "./held.sh")
    queue.pause("held1")
    queue.schedules.add("nightly", "0 3 * * *", {"command": "./backup.sh"}, tz="UTC")
    queue.hooks.add(hook("team", address=f"https://chat.example.com/{KEY}", when="dlq-size > 1"))
