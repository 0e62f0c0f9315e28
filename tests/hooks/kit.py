"""What the tests of hooks share: hooks, endings, and the deliveries that are there."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from queuectl.domain.events import RunFinished, RunResult
from queuectl.domain.hooks import Hook, Target
from queuectl.domain.job import Job
from queuectl.domain.query import Filter, Page
from queuectl.domain.times import EPOCH
from queuectl.queue.hook_deliveries import facts_of
from queuectl.stores.base import Store

_numbers = count(1)


def hook(name: str = "a", **more: Any) -> Hook:
    """Return a hook that posts somewhere."""
    wanted = {"target": Target.WEBHOOK, "address": "http://127.0.0.1:9/", "created_at": EPOCH}
    return Hook(name, **{**wanted, **more})


def kept(store: Store, name: str = "a", **more: Any) -> Hook:
    """Store a hook and return it."""
    made = hook(name, **more)
    assert store.hooks.save(made)
    return made


def ending(at: datetime, outcome: RunResult = RunResult.DEAD, **more: Any) -> RunFinished:
    """Return the end of a run; each has a number of its own."""
    number = next(_numbers)
    wanted = {
        "seq": number, "rev": 3, "job_id": f"job{number}", "run": 1, "queue": "default",
        "attempts": 1, "command": "false", "started_at": at - timedelta(seconds=1),
        "exit_code": 1, "error": "Exit code 1",
    }  # fmt: skip
    return RunFinished(outcome=outcome, finished_at=at, **{**wanted, **more})


def deliveries(store: Store) -> list[Job]:
    """Return the deliveries there are, the first to be added first."""
    return list(store.find(Filter(deliveries=True), Page()))


def events(store: Store) -> list[str]:
    """Return what is delivered: `dead job1`, `queue-empty default`, `crossed`, `cleared`."""
    return [_told(facts_of(job)) for job in deliveries(store)]


def _told(facts: dict[str, Any]) -> str:
    if "crossed" in facts:
        return "crossed" if facts["crossed"] else "cleared"
    return f"{facts['event']} {facts['job']['id'] if 'job' in facts else facts['queue']}"
