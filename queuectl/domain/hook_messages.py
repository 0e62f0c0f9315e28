"""What a hook tells: the facts of one event, and a sentence made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from queuectl.domain.batch import Batch
from queuectl.domain.events import RunFinished
from queuectl.domain.hooks import (
    BATCH_DONE,
    CANCELLED,
    COMPLETED,
    DEAD,
    DIGEST,
    FAILED,
    QUEUE_EMPTY,
    TEST,
    THRESHOLD,
    Hook,
    parse_threshold,
)
from queuectl.domain.job import State
from queuectl.domain.text import counted
from queuectl.domain.times import iso, iso_or_none

Facts = dict[str, Any]
"""`event`, `at`, and beside them `job`, `queue`, `batch`, or `condition`, `crossed`, `value`;
of a digest what `of_digest` says.
"""

_FIRST = 5
"""So many of the events of a digest are told one by one."""

SETTLED_IN_ORDER = (State.COMPLETED, State.DEAD, State.CANCELLED)

_VERBS = {
    COMPLETED: "completed",
    FAILED: "failed and is retried",
    DEAD: "is dead",
    CANCELLED: "was cancelled",
}


_SEVERITIES = {DEAD: "failure", FAILED: "warning", CANCELLED: "warning", COMPLETED: "success"}
"""How bad the ends of jobs are, the worst first."""


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


def of_window(hook: Hook, end: datetime) -> Facts:
    """Return what is known of a digest before it is told."""
    return {"event": DIGEST, "at": iso(end), "window": hook.digest}


def of_digest(window: Facts, told: Sequence[Facts]) -> Facts:
    """Return the facts of a digest of several events, the first to come first.

    `total` of them, by their names (`counts`) and queues (`queues`), from `since` to `until`; the
    `first` few with what they are about.
    """
    return {
        **window,
        "total": len(told),
        "since": min(each["at"] for each in told),
        "until": max(each["at"] for each in told),
        "counts": dict(Counter(each["event"] for each in told)),
        "queues": dict(Counter(each["queue"] for each in told if each.get("queue"))),
        "first": [
            {"event": each["event"], "at": each["at"], "id": _subject(each), "text": sentence(each)}
            for each in told[:_FIRST]
        ],
    }


def _subject(facts: Facts) -> str:
    """Return the id of the job, or the name of the batch or queue, that an event is about."""
    job, batch = facts.get("job"), facts.get("batch")
    name: str = job["id"] if job else batch["name"] if batch else facts["queue"]
    return name


def sentence(facts: Facts) -> str:
    """Return one line that says what has happened."""
    event = facts["event"]
    if event == THRESHOLD:
        threshold = parse_threshold(facts["condition"])
        return f"{headline(facts)} (now {threshold.shown(facts['value'])})"
    if event == QUEUE_EMPTY:
        return f"{headline(facts)}: nothing waits or runs there"
    if event == BATCH_DONE:
        return f"{headline(facts)}: {_batch_counts(facts['batch'])}"
    if event == DIGEST and "total" in facts:
        more = " …" if facts["total"] > len(facts["first"]) else ""
        return f"{headline(facts)}: {', '.join(each['id'] for each in facts['first'])}{more}"
    if event == DIGEST:
        return headline(facts)
    if event == TEST:
        return "this is a test: the hook arrives"
    job = facts["job"]
    run = f"run {job['run']}, " if job["run"] else ""
    why = f": {job['error']}" if job["error"] else ""
    return f"{headline(facts)} ({run}queue {job['queue']}){why}"


def headline(facts: Facts) -> str:
    """Return a few words that say what has happened, as the title of a message."""
    event = facts["event"]
    if event == THRESHOLD:
        where = f" in queue {facts['queue']}" if facts["queue"] else ""
        state = "crossed" if facts["crossed"] else "cleared"
        return f"{state}: {parse_threshold(facts['condition'])}{where}"
    if event == QUEUE_EMPTY:
        return f"queue {facts['queue']} is empty"
    if event == BATCH_DONE:
        return f"batch {facts['batch']['name']} is done"
    if event == DIGEST:
        if "total" not in facts:
            return f"a digest, due {facts['at']}"
        counts = [f"{number:,} {name}" for name, number in facts["counts"].items()]
        return f"{counted(facts['total'], 'event')} ({', '.join(counts)})"
    if event == TEST:
        return "a test"
    job = facts["job"]
    return f"job '{job['id']}' {_VERBS[job['state']]}"


def details(facts: Facts) -> str:
    """Return what is to be said below the headline, a few lines for people."""
    event = facts["event"]
    if event == THRESHOLD:
        return f"now {parse_threshold(facts['condition']).shown(facts['value'])}"
    if event == QUEUE_EMPTY:
        return "Nothing waits or runs there."
    if event == BATCH_DONE:
        batch = facts["batch"]
        return f"{_batch_counts(batch)}, of {counted(batch['total'], 'job')}"
    if event == DIGEST:
        left = facts["total"] - len(facts["first"])
        more = [f"and {left:,} more"] if left else []
        return "\n".join([*(each["text"] for each in facts["first"]), *more])
    if event == TEST:
        return "The hook arrives."
    job = facts["job"]
    lines = [job["error"] or "", f"queue {job['queue']}"]
    if job["run"]:
        lines[-1] += f", run {job['run']}"
    if job["duration"] is not None:
        lines[-1] += f", took {job['duration']:.1f} s"
    lines.append(f"command: {job['command']}")
    return "\n".join(filter(None, lines))


def severity(facts: Facts) -> str:
    """Return how bad an event is: `failure`, `warning`, `success` or `info`."""
    event = facts["event"]
    if event == THRESHOLD:
        return "failure" if facts["crossed"] else "success"
    if event == DIGEST:
        return next((how for name, how in _SEVERITIES.items() if name in facts["counts"]), "info")
    if event == BATCH_DONE:
        return "warning" if facts["batch"][State.DEAD.value] else "success"
    return _SEVERITIES.get(event, "info")


def _batch_counts(batch: Facts) -> str:
    counts = [f"{batch[state]:,} {state}" for state in SETTLED_IN_ORDER if batch[state]]
    return ", ".join(counts)
