"""What a hook tells: the facts of one event, and a sentence made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from queuectl.domain.hook import (
    CANCELLED,
    COMPLETED,
    DEAD,
    FAILED,
    QUEUE_EMPTY,
    TEST,
    THRESHOLD,
    Hook,
)
from queuectl.domain.threshold import parse_threshold
from queuectl.domain.times import iso

Facts = dict[str, Any]
"""`event`, `at`, and beside them `job`, `queue`, or `condition`, `crossed` and `value`."""

_VERBS = {
    COMPLETED: "completed",
    FAILED: "failed and is retried",
    DEAD: "is dead",
    CANCELLED: "was cancelled",
}


def of_empty_queue(queue: str, now: datetime) -> Facts:
    """Return the facts of a queue in which nothing waits or runs any more."""
    return {"event": QUEUE_EMPTY, "at": iso(now), "queue": queue}


def of_threshold(hook: Hook) -> Facts:
    """Return the facts of the latest change that a hook's threshold has come to."""
    assert hook.changed_at is not None
    return {
        "event": THRESHOLD,
        "at": iso(hook.changed_at),
        "condition": hook.when,
        "queue": hook.queue,
        "crossed": hook.is_crossed,
        "value": hook.value,
    }


def of_test(now: datetime) -> Facts:
    """Return the facts of an event that is made up to see whether a hook arrives."""
    return {"event": TEST, "at": iso(now)}


def sentence(facts: Facts) -> str:
    """Return one line that says what has happened."""
    event = facts["event"]
    if event == THRESHOLD:
        threshold = parse_threshold(facts["condition"])
        where = f" in queue {facts['queue']}" if facts["queue"] else ""
        state = "crossed" if facts["crossed"] else "cleared"
        return f"{state}: {threshold}{where} (now {threshold.shown(facts['value'])})"
    if event == QUEUE_EMPTY:
        return f"queue {facts['queue']} is empty: nothing waits or runs there"
    if event == TEST:
        return "this is a test: the hook arrives"
    job = facts["job"]
    why = f": {job['error']}" if job["error"] and event != COMPLETED else ""
    return f"job '{job['id']}' {_VERBS[event]} (run {job['run']}, queue {job['queue']}){why}"
