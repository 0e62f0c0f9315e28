"""Deliveries as jobs: what hooks are told of becomes a job each, which the queue retries itself.

A delivery's id is made of its hook and its event, so that a worker that is killed before it has
noted what it told adds nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from queuectl.domain import state_machine
from queuectl.domain.batch import Batch
from queuectl.domain.events import RunFinished
from queuectl.domain.frozen import replace
from queuectl.domain.hook_messages import (
    Facts,
    event_name,
    of_batch,
    of_empty_queue,
    of_run,
    of_window,
)
from queuectl.domain.hooks import (
    BATCH_DONE,
    DELIVERY_ATTEMPTS,
    DELIVERY_BACKOFF_BASE,
    DELIVERY_BACKOFF_CAP,
    DELIVERY_TIMEOUT,
    NOT_NOW,
    QUEUE_EMPTY,
    REFUSED_FOR_GOOD,
    Hook,
    delivery_id,
    hook_of,
)
from queuectl.domain.job import SETTLED, Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.queue_limits import delivery_queue
from queuectl.domain.times import EPOCH, iso, later
from queuectl.stores.base import Store

FACTS_VARIABLE = "QUEUECTL_FACTS"
"""Where a delivery's job keeps what it tells."""

_WHEN = attrgetter("finished_at", "seq", "rev")
_EMPTIED = "emptied:"
"""The mark of a queue: until when it is known to have been told that it is empty."""


def delivery_job(
    hook: Hook, facts: Facts, key: str, now: datetime, *, due: datetime | None = None
) -> Job:
    """Return the job that delivers an event; `key` tells it from all others of its hook.

    A hook that has digests has it paused; not the digests themselves, which are `due` then.
    """
    from hashlib import sha256  # which takes a worker's start 14 ms, and few have hooks

    told = "\0".join((hook.name, iso(hook.created_at), facts["event"], key))
    spec = Spec(
        id=delivery_id(hook.name, sha256(told.encode()).hexdigest()[:32]),
        command=("queuectl", "hook", "deliver", hook.name),
        queue=delivery_queue(hook.name),
        max_retries=DELIVERY_ATTEMPTS,
        backoff_base=DELIVERY_BACKOFF_BASE,
        backoff_cap=DELIVERY_BACKOFF_CAP,
        timeout=DELIVERY_TIMEOUT,
        env=((FACTS_VARIABLE, json.dumps(facts)),),
    )
    return state_machine.enqueue(spec, due, now, paused=bool(hook.digest) and due is None)


def facts_of(job: Job) -> Facts:
    """Return what a delivery tells. Raises ValueError for a job that is none."""
    try:
        facts = json.loads(dict(job.spec.env).get(FACTS_VARIABLE, ""))
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise ValueError("the job holds no event")
    return facts


def delivery_outcome(outcome: Outcome) -> Outcome:
    """Return how the run of a delivery ended, with what it said of that as its error."""
    if outcome.exit_code not in (REFUSED_FOR_GOOD, NOT_NOW) or outcome.timed_out:
        return outcome
    lines = outcome.stderr.strip().splitlines()
    is_final = outcome.exit_code == REFUSED_FOR_GOOD
    return replace(outcome, error=lines[-1] if lines else outcome.error, is_final=is_final)


def enqueue_deliveries(store: Store, events: Sequence[RunFinished]) -> int:
    """Enqueue the deliveries of some events; return how many there are.

    Call it before the events are forgotten. One look at the hooks serves the whole batch;
    deliveries themselves are told to nobody.
    """
    told = [ending for ending in events if hook_of(ending.job_id) is None]
    if not told:
        return 0
    hooks = [hook for hook in store.hooks.all() if hook.events and not hook.paused]
    if not hooks:
        return 0
    now = store.now()
    jobs = [
        delivery_job(hook, of_run(event, ending), ending.key, now)
        for ending in told
        for hook in hooks
        if (event := event_name(hook, ending)) is not None
    ]
    emptied = _emptied(store, hooks, told)
    looked_at = store.now() if emptied else now
    jobs += [
        delivery_job(hook, of_empty_queue(queue, last.finished_at), f"{queue} {last.key}", now)
        for queue, last in emptied.items()
        for hook in hooks
        if hook.wants(QUEUE_EMPTY, queue) and last.finished_at >= hook.created_at
    ]
    if jobs:
        _insert(store, jobs, hooks)
    for queue in emptied:
        store.meta.set(f"{_EMPTIED}{queue}", iso(looked_at))
    return len(jobs)


def enqueue_batch_deliveries(store: Store, batch: Batch) -> None:
    """Enqueue the deliveries of the end of a batch. Done twice, it adds nothing."""
    assert batch.last_end is not None
    hooks = [
        hook
        for hook in store.hooks.all()
        if hook.wants(BATCH_DONE, batch.queue) and batch.last_end >= hook.created_at
    ]
    if not hooks:
        return
    key = f"{batch.name} {iso(batch.created_at)} {batch.ends}"
    now = store.now()
    _insert(store, [delivery_job(hook, of_batch(batch), key, now) for hook in hooks], hooks)


def _insert(store: Store, jobs: Sequence[Job], hooks: Iterable[Hook]) -> None:
    """Insert deliveries, and the digests of those hooks that have some."""
    store.insert(jobs)
    told = {hook_of(job.id) for job in jobs if job.paused}
    if told:
        _insert_digests(store, [hook for hook in hooks if hook.name in told])


def _insert_digests(store: Store, hooks: Iterable[Hook]) -> None:
    """Insert the digests of the windows of now, for hooks whose events were just inserted.

    The time is taken after that: a window ends later than all that it tells was stored.
    """
    now = store.now()
    store.insert([digest_job(hook, _window_end(hook.digest, now), now) for hook in hooks])


def digest_job(hook: Hook, due: datetime, now: datetime) -> Job:
    """Return the job that tells, once it is due, what has been collected for a hook by then."""
    return delivery_job(hook, of_window(hook, due), iso(due), now, due=due)


def _window_end(seconds: float, now: datetime) -> datetime:
    passed = (now - EPOCH).total_seconds()
    return later(EPOCH, (passed // seconds + 1) * seconds)


def _emptied(
    store: Store, hooks: Sequence[Hook], events: Iterable[RunFinished]
) -> dict[str, RunFinished]:
    """Return the queues that became empty with these events, each with its last one.

    What ended before a queue was last seen empty, and is told only now, says nothing new.
    """
    last: dict[str, RunFinished] = {}
    for ending in events:
        if any(hook.wants(QUEUE_EMPTY, ending.queue) for hook in hooks):
            last[ending.queue] = max(last.get(ending.queue, ending), ending, key=_WHEN)
    if not last:
        return {}
    counts = store.counts().by_queue
    unsettled = frozenset(State) - SETTLED
    return {
        queue: ending
        for queue, ending in last.items()
        if not any(counts.get(queue, {}).get(state) for state in unsettled)
        and iso(ending.finished_at) > (store.meta.get(f"{_EMPTIED}{queue}") or "")
    }
