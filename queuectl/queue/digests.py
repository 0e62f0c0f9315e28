"""Digests: what a hook is told within a window goes out as one delivery, with counts.

Each event is a delivery of its own that is paused, as it would be without a digest: so nothing is
lost whoever is killed, and nothing is stored twice. Beside them is one delivery for the window,
due at its end, which tells all that are paused by then; they are forgotten once it has arrived.
What it does not tell (it has failed for good, or an event came late) the next one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from queuectl.domain import state_machine
from queuectl.domain.hook_messages import Facts, of_digest
from queuectl.domain.hooks import DIGEST, Hook, deliveries_of
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import delivery_queue
from queuectl.queue.hook_deliveries import digest_job, facts_of
from queuectl.stores.base import Store

MOST_EVENTS = 10_000
"""So many events a digest tells at most; what is left comes with the next one, at once."""

_CHUNK = 500


def gathered(store: Store, name: str, window: Facts) -> tuple[Facts | None, list[Job]]:
    """Return what the digest of a hook tells now, and the deliveries that it stands for.

    None where nothing is left to tell. One event alone is told as it would be without a digest.
    """
    found = list(islice(_collected(store, name), MOST_EVENTS))
    told = [facts for _, facts in found]
    whole = of_digest(window, told) if len(told) > 1 else next(iter(told), None)
    return whole, [job for job, _ in found]


def _collected(store: Store, name: str) -> Iterator[tuple[Job, Facts]]:
    """Yield the deliveries of a hook that wait for its digest, in the order of arrival."""
    chosen = Filter(frozenset({State.PENDING}), delivery_queue(name), id_prefix=deliveries_of(name))
    for job in store.find(chosen, Page()):
        if not job.paused:
            continue
        try:
            facts = facts_of(job)
        except ValueError:
            continue
        if facts["event"] != DIGEST:  # one of those that somebody has paused
            yield job, facts


def forget(store: Store, hook: Hook, members: Sequence[Job]) -> None:
    """Forget deliveries that a digest has told; where it could not tell all, add another digest.

    One that somebody has changed meanwhile stays.
    """
    for start in range(0, len(members), _CHUNK):
        chunk = members[start : start + _CHUNK]
        store.commit_all([state_machine.delete(job) for job in chunk])
        store.between()
    if len(members) >= MOST_EVENTS:
        now = store.now()
        store.insert([digest_job(hook, now, now)])


def forget_all(store: Store, name: str) -> None:
    """Forget what waits for the digest of a hook that is gone."""
    while members := list(islice(_collected(store, name), _CHUNK)):
        if not any(store.commit_all([state_machine.delete(job) for job, _ in members])):
            return
