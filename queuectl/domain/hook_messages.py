"""What a hook tells: the facts of one event, and a sentence made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from queuectl.domain.batch import Batch
from queuectl.domain.events import RunFinished
from queuectl.domain.hooks import (
    BATCH_DONE,
    CANCELLED,
    COMPLETED,
    DEAD,
    FAILED,
    QUEUE_EMPTY,
    TEST,
    THRESHOLD,
    Hook,
    parse_threshold,
)
from queuectl.domain.job import State
from queuectl.domain.times import iso, iso_or_none

Facts = dict[str, Any]
"""`event`, `at`, and beside them `job`, `queue`, `batch`, or `condition`, `crossed`, `value`."""

SETTLED_IN_ORDER = (State.COMPLETED, State.DEAD, State.CANCELLED)

_VERBS = {
    COMPLETED: "completed",
    FAILED: "failed and is retried",
    DEAD: "is dead",
    CANCELLED: "was cancelled",
}


def event_name(hook: Hook, ending: RunFinished) -> str | None:
    """Return what a hook calls an event, or None when it does not want to know of it.

    The last attempt of a job, after which it is dead, has failed like the ones before.
    """
    outcome = ending.outcome.value
    names = (DEAD, FAILED) if outcome == DEAD else (outcome,)
    wanted = (name for name in names if hook.wants(name, ending.queue, ending.labels))
    return next(wanted, None) if ending.finished_at >= hook.created_at else None


def of_run(event: str, ending: RunFinished) -> Facts:
    """Return the facts of a run that has ended."""
    return {
        "event": event,
        "at": iso(ending.finished_at),
        "queue": ending.queue,
        "job": {
            "id": ending.job_id,
            "state": ending.outcome.value,
            "queue": ending.queue,
            "labels": list(ending.labels),
            "command": ending.command,
            "run": ending.run,
            "attempts": ending.attempts,
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "timed_out": ending.timed_out,
            "error": ending.error,
            "started_at": iso_or_none(ending.started_at),
            "finished_at": iso(ending.finished_at),
            "duration": ending.duration,
            "cpu_seconds": ending.cpu_seconds,
            "peak_memory": ending.peak_memory,
        },
    }


def of_empty_queue(queue: str, now: datetime) -> Facts:
    """Return the facts of a queue in which nothing waits or runs any more."""
    return {"event": QUEUE_EMPTY, "at": iso(now), "queue": queue}


def of_batch(batch: Batch) -> Facts:
    """Return the facts of a batch all of whose jobs have ended."""
    assert batch.last_end is not None
    counts = {state.value: batch.counts.get(state.value, 0) for state in SETTLED_IN_ORDER}
    return {
        "event": BATCH_DONE,
        "at": iso(batch.last_end),
        "queue": batch.queue,
        "batch": {
            "name": batch.name,
            "created_at": iso(batch.created_at),
            "end": batch.ends,
            "total": sum(counts.values()),
            **counts,
        },
    }


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
    if event == BATCH_DONE:
        batch = facts["batch"]
        counts = [f"{batch[state]:,} {state}" for state in SETTLED_IN_ORDER if batch[state]]
        return f"batch {batch['name']} is done: {', '.join(counts)}"
    if event == TEST:
        return "this is a test: the hook arrives"
    job = facts["job"]
    run = f"run {job['run']}, " if job["run"] else ""
    why = f": {job['error']}" if job["error"] else ""
    return f"job '{job['id']}' {_VERBS[job['state']]} ({run}queue {job['queue']}){why}"
