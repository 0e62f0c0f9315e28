"""Batches whose jobs are made while they run: the first ones at once, others as they are claimed.

The definition of all jobs is in the record of the batch. What is not made yet counts as what it
will be, is listed, and can be shown, as if it were there; whoever changes one job of it has it made
first, and to cancel all of it is one write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from queuectl.domain import batch as batches
from queuectl.domain import state_machine
from queuectl.domain.batch import Batch
from queuectl.domain.dependencies import CANNOT_START
from queuectl.domain.errors import Conflict
from queuectl.domain.frozen import replace
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.query import Filter, Page
from queuectl.queue.outpaced import Outpaced, retry_on_conflict

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.domain.sweep import Sweep
    from queuectl.stores.base import Store

LONGEST_DEFINITION = 512 * 1024
"""A definition of more characters, one with very many rows, is no shorter than its jobs."""

_AHEAD = 4000
"""So many jobs of a batch at least wait to be claimed while others are to be made."""

_PIECE = 1000
"""So many are made in one transaction."""

_MOST_AHEAD = 10_000
"""So many single jobs at most are made before their turn."""


def is_too_long(sweep: Sweep) -> bool:
    """Whether the definition of a sweep takes too much room to be read again and again."""
    from queuectl.queue.sweep_text import to_text  # which workers have no use for

    return len(to_text(sweep)) > LONGEST_DEFINITION


def begin(store: Store, sweep: Sweep, name: str) -> None:
    """Store the definition of a batch, and its first jobs. Raises Conflict where there is one."""
    from queuectl.queue.sweep_text import to_text

    taken = Conflict(
        f"there is a batch '{name}' already, or a job with an id that one of it would have",
        hint="name another one with --batch",
    )
    if store.batches.get(name) is not None or next(_beginning(store, f"{name}-"), None):
        raise taken
    spec = sweep.model.spec
    record = Batch(
        name, store.now(), spec.queue, sweep.total, definition=to_text(sweep),
        at_once=spec.at_once, max_fails=spec.max_fails,
    )  # fmt: skip
    if not store.batches.save(record):
        raise taken
    LazyJobs(store).make(record)


def _beginning(store: Store, prefix: str) -> Iterator[Job]:
    return store.find(Filter(id_prefix=prefix), Page(limit=1))


class LazyJobs:
    """Makes the jobs of batches; what it reads of a definition it keeps."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sweeps: dict[str, tuple[object, Sweep]] = {}

    def top_up(self, ahead: int = _AHEAD) -> int:
        """Make jobs of each batch of which too few wait to be claimed; return how many."""
        made = 0
        for record in self._store.batches.unmade():
            left: Batch | None = record
            while left is not None and left.waits:
                if self._store.batches.pending(left.name, ahead) >= ahead:
                    break
                number = self.make(left)
                made += number
                self._store.between()
                left = self._store.batches.get(left.name) if number else None
        return made

    def make(self, record: Batch) -> int:
        """Make the next jobs of a batch; return how many, 0 where somebody else was faster."""
        numbers = list(islice(record.numbers_unmade(), _PIECE))
        if not numbers:
            return 0
        jobs = [self.job(record, number) for number in numbers]
        after = batches.advance(record, numbers[-1])
        if self._store.batches.make(record, jobs, after):
            return len(jobs)
        self._cancel_made_late(record.name, jobs)
        return 0

    @retry_on_conflict
    def _cancel_made_late(self, name: str, jobs: Sequence[Job]) -> None:
        """Cancel jobs that were inserted while somebody cancelled the rest of their batch.

        That can be where the record and the jobs are not written together.
        """
        store = self._store
        record = store.batches.get(name)
        if record is None or record.rest == State.PENDING.value:
            return  # whoever makes these jobs next finds them there
        numbers = {job.id: job.spec.batch_index for job in jobs}
        there = store.present(numbers)
        made = sorted(numbers[job_id] for job_id in there)
        late = [number for number in made if number > record.made and number not in record.ahead]
        if not late:
            return
        if not store.batches.save(record.changed(ahead=(*record.ahead, *late)), record):
            raise Outpaced(f"batch '{name}'")
        found = [job for job_id in sorted(there) if (job := store.get(job_id)) is not None]
        waiting = [job for job in found if job.state is State.PENDING]
        store.commit_all([state_machine.cancel(job, store.now()) for job in waiting])

    def job(self, record: Batch, number: int) -> Job:
        """Return one job of a batch as it is when it is made."""
        request = self._sweep(record).request(number, record.name)
        return state_machine.enqueue(
            request.spec, request.run_at, record.created_at, delayed=request.delayed,
            paused=request.hold,
        )  # fmt: skip

    def unmade(self, record: Batch, number: int) -> Job:
        """Return one job of a batch that is not made, as it is to be seen."""
        job = self.job(record, number)
        if record.rest == State.PENDING.value:
            return job
        at = record.ended_at or record.created_at
        return replace(
            job, state=State(record.rest), blocked_by=(), paused=False, finished_at=at,
            outcome=Outcome(error=f"{CANNOT_START}{record.why}") if record.why else None,
        )  # fmt: skip

    def _sweep(self, record: Batch) -> Sweep:
        key, sweep = self._sweeps.get(record.name, (None, None))
        if sweep is None or key != record.created_at:
            from queuectl.queue.sweep_text import from_text  # of such batches only

            sweep = from_text(record.definition)
            self._sweeps[record.name] = record.created_at, sweep
        return sweep

    def find(self, chosen: Filter, after: int = 0) -> Iterator[Job]:
        """Yield the jobs that are not made yet and fit a filter; from a place on, if it is one."""
        goes_on = after < batches.UNMADE
        for record in self._store.batches.unmade():
            beyond = None if goes_on else batches.number_after(record, after)
            goes_on = goes_on or beyond is not None
            if not (goes_on and may_fit(record, chosen)):
                continue
            for number in record.numbers_unmade(beyond or 0):
                job = self.unmade(record, number)
                if chosen.fits(job):
                    yield job
                elif not chosen.labels:
                    break  # nor does any other: they differ in nothing else that is looked at

    def has_own_labels(self, record: Batch) -> bool:
        """Whether the labels of a batch's jobs differ."""
        return self._sweep(record).has_own("labels")

    def get(self, word: str) -> Job | None:
        """Return the job of an id that is not made yet."""
        found = self._record_of(word)
        return self.unmade(*found) if found else None

    def _record_of(self, word: str) -> tuple[Batch, int] | None:
        name = batches.names_in(word)
        record = self._store.batches.get(name) if name else None
        number = batches.number_in(record, word) if record else None
        return (record, number) if record is not None and number is not None else None

    @retry_on_conflict
    def make_one(self, word: str) -> bool:
        """Make one job before its turn, so that it can be changed; return whether it is there now.

        Raises Conflict where too many were made so.
        """
        found = self._record_of(word)
        if found is None:
            return False
        record, number = found
        if len(record.ahead) >= _MOST_AHEAD:
            raise Conflict(f"too many jobs of batch '{record.name}' were changed one by one")
        after = record.changed(ahead=(*record.ahead, number))
        if not self._store.batches.make(record, [self.job(record, number)], after):
            raise Outpaced(f"batch '{record.name}'")
        if record.rest != State.PENDING.value:
            made = self._store.get(word)
            if made is not None and made.state is State.PENDING:
                self._store.commit(state_machine.cancel(made, self._store.now()))
        return True


def may_fit(record: Batch, chosen: Filter) -> bool:
    """Whether jobs of a batch that are not made may be what a filter means.

    One that looks into ids, commands or ends means those that exist.
    """
    return (
        record.unmade > 0
        and chosen.batch in (None, record.name)
        and chosen.queue in (None, record.queue)
        and (not chosen.states or State(record.rest) in chosen.states)
        and not (chosen.deliveries or chosen.id_prefix or chosen.is_detailed)
    )


def fits_whole(lazy: LazyJobs, record: Batch, chosen: Filter) -> bool:
    """Whether a filter means all jobs of a batch that are not made, and says nothing of each."""
    if not may_fit(record, chosen) or (chosen.labels and lazy.has_own_labels(record)):
        return False
    first = next(iter(record.numbers_unmade()), None)
    return first is not None and chosen.fits(lazy.unmade(record, first))


def unmade_that_fit(store: Store, chosen: Filter) -> list[Batch]:
    """Return the batches of which a filter means all jobs that are not made."""
    lazy = LazyJobs(store)
    return [record for record in store.batches.unmade() if fits_whole(lazy, record, chosen)]


def turn_rest(store: Store, chosen: Filter, state: State) -> Iterator[tuple[Job, int]]:
    """Cancel the jobs that are not made yet and fit a filter, or let them wait again.

    Yields the first of each batch with how many they are. Those of which a filter says more than
    that they are of a batch, a queue, or a label stay as they are.
    """
    return _of_each_rest(store, chosen, lambda record: _turned(store, record.name, state))


def _of_each_rest(
    store: Store, chosen: Filter, change: Callable[[Batch], Batch | None]
) -> Iterator[tuple[Job, int]]:
    """Change what is not made of the batches that fit a filter whole.

    Yields the first job of each as `change` returns the batch, with how many they are; None says
    that it has left it as it is.
    """
    lazy = LazyJobs(store)
    for record in store.batches.unmade():
        if fits_whole(lazy, record, chosen) and (changed := change(record)) is not None:
            first = next(iter(changed.numbers_unmade()))
            yield lazy.unmade(changed, first), changed.unmade


@retry_on_conflict
def _turned(store: Store, name: str, state: State) -> Batch | None:
    record = store.batches.get(name)
    if record is None or record.unmade <= 0 or State(record.rest) is state:
        return None
    after = record.changed(rest=state.value, why="")
    if state is State.PENDING:
        after = replace(after, ended_at=None, is_stopped=False)
    _save(store, after, record)
    return after


def drop_old_rest(store: Store, before: datetime) -> None:
    """Forget the jobs that are not made and were cancelled before an instant."""
    for record in store.batches.unmade():
        is_old = record.ended_at is not None and record.ended_at < before
        if is_old and record.rest == State.CANCELLED.value:
            store.batches.save(_without_rest(record), record)
            store.batches.forget(record.name)


def drop_rest(store: Store, chosen: Filter) -> Iterator[tuple[Job, int]]:
    """Forget the jobs that are not made yet and fit a filter.

    Yields the first of each batch with how many they were.
    """
    return _of_each_rest(store, chosen, lambda record: _dropped(store, record.name, record.rest))


@retry_on_conflict
def _dropped(store: Store, name: str, rest: str) -> Batch | None:
    """Forget what is not made of a batch; return it as it was, or None if it is no more so."""
    record = store.batches.get(name)
    if record is None or record.unmade <= 0 or record.rest != rest:
        return None
    _save(store, _without_rest(record), record)
    return record


def page_of(store: Store, found: Iterator[Job], chosen: Filter, page: Page) -> Iterator[Job]:
    """Yield jobs, and behind them those that are not made yet and fit too."""
    left = page.limit
    for job in found if page.after_seq < batches.UNMADE else ():
        yield job
        left = None if left is None else left - 1
    yield from islice(LazyJobs(store).find(chosen, page.after_seq), left)


def _save(store: Store, after: Batch, before: Batch) -> None:
    """Store a batch if it is as it was read. Raises Outpaced."""
    if not store.batches.save(after, before):
        raise Outpaced(f"batch '{before.name}'")


def _without_rest(record: Batch) -> Batch:
    """Return a batch of which no more jobs are made."""
    return record.changed(made=record.total, ahead=())
