"""The dashboard on MongoDB: every page is whole, and every endpoint does what it says."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.queue import open_queue
from queuectl.web.api import ENDPOINTS
from queuectl.web.pages import PAGES
from tests.stores.conftest import mongo_url
from tests.web.kit import TOKEN, Served, add, fill, policy
from tests.web.test_api import call

__all__ = ["mongo_url"]

_NAMES = {
    "deleteJob": "done1", "cancelJob": "failed1", "retryJob": "done2", "pauseJob": "later1",
    "resumeJob": "held1", "editJob": "held1",
    "pauseQueue": "default", "resumeQueue": "mail", "limitQueue": "mail",
}  # fmt: skip
_BODIES: dict[str, dict[str, Any]] = {
    "enqueue": {"command": "true"},
    "enqueueSweep": {"command": "job {}", "array": "1-3"},
    "editJob": {"priority": 5},
    "cloneJob": {"as": "like-dead2"},
    "limitQueue": {"limit": 3},
    "addSchedule": {"name": "hourly", "cron": "@hourly", "command": "true"},
    "editSchedule": {"every": "90m", "priority": 3},
    "setSetting": {"value": 4},
    "retryDead": {"ids": ["dead1"]},
    "purgeDead": {"all": True},
    "retryJobs": {"ids": ["failed1"]},
    "cancelJobs": {"all": True, "queue": "mail"},
    "deleteJobs": {"all": True, "state": ["cancelled"]},
}


@pytest.mark.usefixtures("home")
def test_every_page_and_every_endpoint_answers_on_mongodb(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_STORE", mongo_url)
    with Served(policy()) as served:
        client = served.logged_in()
        for filled in (False, True):
            for path in PAGES:
                name = "sweep" if path.startswith("/batches/") else "nightly"
                address = path.replace("{id}", "dead1").replace("{name}", name)
                answer = client.get(address)
                # of a worker that nobody knows any more there may be a log, or none
                is_missing = "{" in path and not (filled or path.startswith("/workers/"))
                assert answer.status_code == (404 if is_missing else 200), path
                assert answer.text.rstrip().endswith("</html>"), path
            if not filled:
                with open_queue() as queue:
                    fill(queue)
                    add(queue, "of-sweep", batch="sweep")
        for query in ("text=EXIT", "label=video&state=completed", "queue=mail", "exit_code=2"):
            assert "<tr data-key=" in client.get(f"/jobs?{query}").text, query

        client.headers["authorization"] = f"Bearer {TOKEN}"
        for endpoint in ENDPOINTS:
            job = _NAMES.get(endpoint.name, "dead2")
            named = "nightly" if "/schedules/" in endpoint.path else "team"
            name = job if "/queues/" in endpoint.path else named
            body = _BODIES.get(endpoint.name)
            answer = call(client, endpoint.name, body, id=job, name=name, key="max_retries")
            expected = (
                404 if endpoint.name in ("stopWorker", "getBatch", "testHook") else endpoint.status
            )
            assert answer.status_code == expected, (endpoint.name, answer.text)
        with open_queue() as queue:
            states = {job.id: job.state.value for job in queue.find()}
            left = {name: states.get(name) for name in ("dead1", "dead2", "done1", "done2")}
            assert left == {"dead1": "pending", "dead2": None, "done1": None, "done2": "pending"}
            assert [each.name for each in queue.schedules.all()] == ["hourly"]
            assert not queue.hooks.all()
