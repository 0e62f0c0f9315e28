"""Notes of what a worker has in hand, for its guard, which acts on them when the worker has died.

They are read by a process that was forked from the one that wrote them, so they have the fastest
form that this very Python knows.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any

from queuectl.domain import state_machine
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import Transition
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores import reopen_store
from queuectl.system.terminal_stops import bear_mark

_ASKED, _CLAIMED, _BEGUN, _ENDED = "asked", "claimed", "begun", "ended"
_fields_of = attrgetter(*Outcome.__match_args__)


def asked(worker: str, claim_ids: Iterable[str]) -> bytes:
    """Note which claims are asked for: what they get counts as claimed from that moment on."""
    return marshal.dumps((_ASKED, [(worker, claim_id) for claim_id in claim_ids]))


def claimed(jobs: Iterable[Job]) -> bytes:
    """Note that jobs are claimed, and will be begun later."""
    return marshal.dumps((_CLAIMED, [(job.id, job.claim_id) for job in jobs]))


def begun(job: Job) -> bytes:
    """Note that a job is about to be begun, so that it counts as begun whatever comes."""
    return marshal.dumps((_BEGUN, [(job.id, job.claim_id)]))


def ended(job: Job, outcome: Outcome, at: datetime) -> bytes:
    """Note how a run ended that is not committed yet."""
    return marshal.dumps((_ENDED, [(job.id, job.claim_id)], to_millis(at), _fields_of(outcome)))


def act_on(store_url: str, notes: Iterable[bytes]) -> None:
    """Commit what a dead worker's jobs had ended with, and give back those it had not begun.

    Its claims fence that: what has been taken back already stays so.
    """
    bear_mark()  # the guard has closed all that it inherited
    last: dict[str, tuple[str, str, list[Any]]] = {}
    requests: dict[str, str] = {}
    for note in notes:
        kind, claims, *ending = marshal.loads(note)
        if kind == _ASKED:
            requests |= {claim_id: worker for worker, claim_id in claims}
        else:
            last |= {job_id: (kind, claim_id, ending) for job_id, claim_id in claims}
    with closing(reopen_store(store_url)) as store:
        changes = []
        for job in chain.from_iterable(map(store.claimed_by, set(requests.values()))):
            if job.claim_id in requests and job.id not in last:
                changes.append(_change(job, [], store.now()))
        for job_id, (kind, claim_id, ending) in last.items():
            known = store.get(job_id) if kind != _BEGUN else None
            if known is not None and known.is_claimed_by(claim_id):
                changes.append(_change(known, ending, store.now()))
        if changes:
            store.commit_all(changes)  # at once: whoever takes back what was lost waits for it


def _change(job: Job, ending: list[Any], now: datetime) -> Transition:
    if not ending:
        return state_machine.finish(job, None, now)
    at, values = ending
    return state_machine.finish(job, Outcome(*values), from_millis(at))
