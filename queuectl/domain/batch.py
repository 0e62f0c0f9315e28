"""A batch: what one enqueue made, under one name, with what is to hold for all of it.

Its jobs name it in their field `batch`, and how many of them are in which state is counted there.
The record has what no job knows: limits for all of them, whether the end was told of, and of a
batch that is made while it runs the definition of the jobs that do not exist yet (its rest).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zlib import crc32

from queuectl.domain.dependencies import BATCH_PREFIX
from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import fresh, frozen, replace
from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.text import counted

UNMADE = 2**52
"""Places of jobs that are not made yet are beyond this, and numbers of arrival below."""


@frozen
class Batch:
    """The record of one batch.

    `definition` is that of its jobs, numbered from 1 to `total`, where they are made while the
    batch runs: as text, which only who makes them reads. The first `made` of them exist already,
    or did, and so do those in `ahead`. The `rest` is pending, or cancelled for the reason `why`.
    `model` is one of these jobs as its template says, by which filters know the rest.

    At most `at_once` of its jobs (0: any number) are let go to workers, and once `max_fails` (0:
    never) are dead the others are cancelled: then it `is_stopped`.

    `ended_at` is when it was seen that all of its jobs have ended, None while some have not. This
    has happened `ends` times, the last time at `last_end`, with the jobs as `counts` says; `told`
    of these ends hooks and waiting jobs know. `unknown` is what a newer version has written beside
    this, as JSON, and is kept as it is.
    """

    name: str
    created_at: datetime
    queue: str = ""
    total: int = 0
    made: int = 0
    ahead: tuple[int, ...] = ()
    rest: str = State.PENDING.value
    why: str = ""
    definition: str = ""
    at_once: int = 0
    max_fails: int = 0
    is_stopped: bool = False
    ended_at: datetime | None = None
    last_end: datetime | None = None
    ends: int = 0
    told: int = 0
    counts: Mapping[str, int] = fresh(dict)
    rev: int = 1
    unknown: str = ""

    @property
    def unmade(self) -> int:
        """How many of its jobs do not exist yet."""
        return self.total - self.made - len(self.ahead)

    @property
    def is_lazy(self) -> bool:
        """Whether its jobs are made while it runs."""
        return bool(self.definition)

    @property
    def waits(self) -> bool:
        """Whether jobs are still to be made."""
        return self.unmade > 0 and self.rest == State.PENDING.value

    @property
    def is_open(self) -> bool:
        """Whether somebody has to look after it: it has not ended, or not all know that."""
        return self.ended_at is None or self.told < self.ends

    @property
    def state(self) -> State:
        """How it stands as something that jobs wait for."""
        if self.ended_at is None:
            return State.PENDING
        return State.COMPLETED if is_success(self.counts) else State.DEAD

    def changed(self, **changed: Any) -> Batch:
        """Return the record in its next revision, with other values."""
        return replace(self, rev=self.rev + 1, **changed)

    def numbers_unmade(self, beyond: int = 0) -> Any:
        """Return the numbers of the jobs that do not exist yet, in their order, lazily.

        Only those after the number `beyond`.
        """
        ahead = frozenset(self.ahead)
        first = max(self.made, beyond) + 1
        return (n for n in range(first, self.total + 1) if n not in ahead)


def is_success(counts: Mapping[str, int]) -> bool:
    """Whether all jobs of a batch are completed."""
    return not any(n for state, n in counts.items() if state != State.COMPLETED.value)


def with_rest(batch: Batch | None, counts: Mapping[State, int]) -> dict[State, int]:
    """Return the counts of a batch's jobs with those that are not made yet."""
    result = {state: n for state in State if (n := counts.get(state, 0))}
    if batch is not None and batch.unmade > 0:
        rest = State(batch.rest)
        result[rest] = result.get(rest, 0) + batch.unmade
    return result


def is_over(counts: Mapping[State, int]) -> bool:
    """Whether all jobs of a batch have ended, given their counts."""
    return all(state in SETTLED for state, n in counts.items() if n)


def end(batch: Batch, counts: Mapping[State, int], now: datetime) -> Batch:
    """Return the record of a batch of which all jobs have ended."""
    return batch.changed(
        ended_at=now, last_end=now, ends=batch.ends + 1,
        counts={state.value: n for state, n in counts.items()},
    )  # fmt: skip


def reopen(batch: Batch) -> Batch:
    """Return the record of a batch of which jobs wait again, or which gets more of them."""
    return batch.changed(ended_at=None, is_stopped=False)


def stop(batch: Batch, why: str) -> Batch:
    """Return the record of a batch whose rest is cancelled."""
    waits = batch.waits
    return batch.changed(
        is_stopped=True,
        rest=State.CANCELLED.value if waits else batch.rest,
        why=why if waits else batch.why,
    )


def stop_reason(name: str, dead: int) -> str:
    """Return why the rest of a batch is cancelled."""
    return f"batch {name} has {counted(dead, 'dead job')} (--max-fails)"


def advance(batch: Batch, made: int) -> Batch:
    """Return the record once the jobs up to number `made` exist."""
    return batch.changed(made=made, ahead=tuple(n for n in batch.ahead if n > made))


def number_in(batch: Batch, word: str) -> int | None:
    """Return the number of the job of a batch that does not exist yet and is to have this id."""
    head, _, tail = word.rpartition("-")
    if head != batch.name or not tail.isdecimal() or tail.startswith("0") or len(tail) > 9:
        return None
    number = int(tail)
    is_unmade = batch.made < number <= batch.total and number not in batch.ahead
    return number if is_unmade else None


def place_of(job: Job) -> int:
    """Return the number after which a listing goes on behind a job.

    That of its arrival; or, of a job that is not made yet, one beyond all of these, of the name of
    its batch and its number there.
    """
    number, name = job.spec.batch_index, job.spec.batch
    return job.seq or (UNMADE + _place(name, number) if name and number else 0)


def _place(name: str, number: int) -> int:
    """Return a number below 2**52, so that a place is exact in JSON, too."""
    return (crc32(name.encode()) % 2**22 << 30) + number


def number_after(batch: Batch, place: int) -> int | None:
    """Return after which of a batch's jobs a place among those not made is; None: of no one."""
    number = place - UNMADE - _place(batch.name, 0)
    return number if 0 < number < 2**30 else None


def names_in(word: str) -> str | None:
    """Return the batch in whose name an id may be, or None."""
    head, dash, tail = word.rpartition("-")
    return head if dash and tail.isdecimal() and head else None


def as_parent(batch: Batch) -> Job:
    """Return a batch as a job that others wait for."""
    spec = Spec(f"{BATCH_PREFIX}{batch.name}", "")
    since = batch.created_at
    return Job(spec, batch.state, since, since, batch.ended_at or since)


def require_open_name(batch: Batch, *, lazy: bool) -> None:
    """Raise InvalidInput where nothing can be added to a batch."""
    if batch.is_lazy or lazy:
        raise InvalidInput(
            f"batch '{batch.name}' exists already, and its jobs are made while it runs",
            hint="choose another name with --batch",
        )
