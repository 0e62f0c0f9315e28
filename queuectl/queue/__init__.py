"""Every use case of queuectl, one short method each.

The command line, the shell and other people's programs call this and nothing below it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from queuectl.domain import settings as tunables
from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import MAX_SLOTS, check_name
from queuectl.domain.queue_limits import DELIVERY_QUEUE
from queuectl.queue.read import Reader
from queuectl.stores import empty_store, open_existing, open_store
from queuectl.system.home import Location, find_location

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.query import Filter
    from queuectl.domain.request import Request, RequestForm
    from queuectl.domain.settings import Settings, Value
    from queuectl.domain.sweep import Sweep
    from queuectl.domain.worker_record import StopRequest
    from queuectl.queue.audit import Note
    from queuectl.queue.bulk import ChangeResult, Purged
    from queuectl.queue.change import Decide
    from queuectl.queue.enqueue import EnqueueResult
    from queuectl.queue.hooks import Hooks
    from queuectl.queue.hosts import Hosts
    from queuectl.queue.requests import Requests, Written
    from queuectl.queue.resources import Resources
    from queuectl.queue.schedules import Schedules
    from queuectl.queue.signing import Signer
    from queuectl.queue.sweeps import EnqueuedSweep

_Q = TypeVar("_Q", bound="Queue")
_Result = TypeVar("_Result")

_MOST_NOTES = 1000
"""So many changes are noted at most before they are written."""

__all__ = ["Queue", "open_queue"]


class Queue(Reader):
    """An open store with its home. A context manager; use it from one thread.

    Every method may raise `StoreUnavailable` or `StoreRefused`. All that enqueues or changes jobs,
    but for deleting, raises Conflict in a store that was moved: its jobs are in another one.
    """

    @classmethod
    def open(cls: type[_Q], place: Location) -> _Q:
        """Open the store of a place, making home and store on first use."""
        place.home.make()
        return cls(open_store(place.store_url), place.home)

    @classmethod
    def look(cls: type[_Q], place: Location) -> _Q:
        """Open a place to read: nothing is made, and a missing store reads as an empty one.

        `missing` then names what is not there.
        """
        store = open_existing(place.store_url)
        if store is not None:
            return cls(store, place.home)
        queue = cls(empty_store(place.store_url), place.home)
        root = place.home.root
        is_home_missing = place.is_store_inside and not root.exists()
        queue.missing = str(root) if is_home_missing else queue.address
        return queue

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_fault: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        try:
            self.flush_notes()
        finally:
            self._store.close()

    # who changes what

    actor: Callable[[], str] | None = None
    """Returns who makes changes, for the audit trail; None: what is done here is not noted."""

    @cached_property
    def _notes(self) -> list[Note]:
        return []

    def note(self, act: str, target: str = "", number: int = 1, about: str = "") -> None:
        """Note a change for the audit trail, which has it with the next `flush_notes`."""
        if self.actor is None:
            return
        from queuectl.queue.audit import Note

        self._notes.append(Note(self.now(), act, target, number, about))
        if len(self._notes) >= _MOST_NOTES:
            self.flush_notes()

    def flush_notes(self) -> None:
        """Write what was noted into the store, one act for what was done with the same words."""
        if self.actor is None or "_notes" not in self.__dict__ or not self._notes:
            return
        from queuectl.queue.audit import write

        notes, who = [*self._notes], self.actor()
        self._notes.clear()  # what cannot be written is not tried for ever
        write(self._store, who, notes)

    def _noted(
        self,
        act: str,
        chosen: Filter,
        results: Iterator[_Result],
        total: Callable[[int, _Result], int],
    ) -> Iterator[_Result]:
        """Yield what becomes of many jobs, and note how many were changed."""
        if self.actor is None:
            return results
        from queuectl.queue.audit import counted, filter_text

        about = filter_text(chosen)
        return counted(results, total, lambda number: self.note(act, number=number, about=about))

    # who has signed what

    may_sign = True
    """Whether the home's key signs what is enqueued; not on behalf of those who come from afar."""

    @cached_property
    def _signer(self) -> Signer | None:
        if not (self.may_sign and self.home.has_signing_key()):
            return None
        from queuectl.queue.signing import Signer  # of few homes

        return Signer(self.home, self._store)

    def require_signed(self, *, is_required: bool) -> None:
        """Have workers of this home run signed jobs alone, or any, from their next start."""
        from queuectl.queue.signing import require

        require(self.home, self._store, is_required=is_required)

    # new jobs

    @cached_property
    def _requests(self) -> Requests:
        from queuectl.queue.requests import Requests

        return Requests(self._store, self.home)

    def request(
        self,
        fields: Mapping[str, object],
        settings: Settings | None = None,
        *,
        replace: bool = False,
        form: RequestForm | None = None,
    ) -> Request:
        """Return the request that a mapping of fields means. Raises InvalidInput.

        `replace` lets it replace a job of its id. When there are many, pass their `form`.
        """
        return self._requests.of(fields, form or self.form(settings, replace=replace))

    def form(
        self,
        settings: Settings | None = None,
        *,
        cwd: str | None = None,
        replace: bool = False,
        is_trial: bool = False,
    ) -> RequestForm:
        """Return what makes a request of each of many mappings, with the settings of now.

        Where a mapping names no working directory its job runs in `cwd`. What `is_trial` makes
        requests for `try_requests` alone, which have no captured environment and no snapshot.
        """
        return self._requests.form(settings, cwd=cwd, replace=replace, is_trial=is_trial)

    def enqueue(
        self,
        jobs: Written | Iterable[Written] | None = None,
        /,
        *,
        atomic: bool = False,
        replace: bool = False,
        **fields: object,
    ) -> list[EnqueueResult]:
        """Store new jobs; return what became of each, in the order given.

        A job is a command (`"echo hi"`), a mapping of its fields (`{"command": "echo hi",
        "queue": "gpu"}`) or a `Request`; there may be one, or several of these. `fields` named
        here hold for all, and are a job themselves where no other is given. `replace` lets a job
        replace another of its id. One that names no working directory runs in this program's.

        An id that exists is a `Conflict` in that job's result; with `atomic` it is raised
        and nothing is stored. Raises InvalidInput for a field that is wrong, and TypeError for
        what is no job at all; nothing is stored then either.
        """
        requests = self._requests.of_call(jobs, fields, replace=replace)
        return list(self.enqueue_requests(requests, atomic=atomic))

    def enqueue_one(
        self, job: Written | None = None, /, *, replace: bool = False, **fields: object
    ) -> str:
        """Store one job, written as for `enqueue`, and return its id.

        That is the id of another job where that one waits or runs and has its unique key. Raises
        Conflict when the id exists, InvalidInput for a field that is wrong, TypeError for what is
        no job.
        """
        from queuectl.queue.requests import as_one

        requests = self._requests.of_call(as_one(job, fields), fields, replace=replace)
        (result,) = self.enqueue_requests(requests)
        if result.error:
            raise result.error
        return result.job_id

    def enqueue_requests(
        self, requests: Sequence[Request], *, atomic: bool = False
    ) -> Sequence[EnqueueResult]:
        """Store what requests ask for, as `enqueue` does."""
        from queuectl.queue.enqueue import enqueue

        return enqueue(self._store, requests, atomic=atomic, signer=self._signer)

    def try_requests(
        self, requests: Sequence[Request], *, atomic: bool = False
    ) -> Sequence[EnqueueResult]:
        """Return what would become of requests, of which nothing is stored; as `enqueue` does."""
        from queuectl.queue.enqueue_trial import tried

        return tried(self._store, requests, atomic=atomic)

    def sweep(
        self,
        job: str | Mapping[str, object],
        /,
        *,
        array: str | range | None = None,
        params: Mapping[str, Iterable[object]] | None = None,
        rows: Iterable[Mapping[str, object]] | None = None,
        **fields: object,
    ) -> Sweep:
        """Return what makes many jobs of one whose command has placeholders.

        `array` is a range of numbers, as text (`"1-9:2"`) too; `params` has the values of each
        parameter, of which every combination is a job; `rows` has parameters whose values go
        together. `job` and `fields` are those of `enqueue`, with one command.

        Raises InvalidInput for what cannot be meant, such as a placeholder inside quotes.
        """
        from queuectl.queue.sweeps import sweep_of

        return sweep_of(self._requests, job, fields, array=array, params=params, rows=rows)

    def enqueue_sweep(
        self,
        sweep: Sweep,
        name: str | None = None,
        *,
        at_once: int | None = None,
        max_fails: int | None = None,
    ) -> EnqueuedSweep:
        """Store the jobs of a sweep as a batch, all or none of them; the name is made if missing.

        At most `at_once` of them run at a time, and once `max_fails` are dead the others are
        cancelled. Raises Conflict for a batch that exists, and InvalidInput.
        """
        from queuectl.queue.sweeps import enqueue_sweep

        return enqueue_sweep(
            self._store,
            sweep,
            name,
            at_once=at_once,
            max_fails=max_fails,
            signer=self._signer,
        )

    # one job

    def cancel(self, job_id: str, *, only: Filter | None = None) -> Job:
        """Cancel a waiting job, or ask the worker of a running one to stop it.

        Raises NoLongerFits for one that is not what the filter `only` means.
        """
        from queuectl.domain.state_machine import cancel

        return self._changed("cancel", job_id, cancel, only)

    def pause(self, job_id: str) -> Job:
        """Hold a waiting job back, or have the worker of a running one stop it in its place."""
        from queuectl.domain.state_machine import pause

        return self._changed("pause", job_id, pause)

    def stash(self, job_id: str) -> Job:
        """Hold a waiting job back until it is resumed; one that runs is refused."""
        from queuectl.domain.state_machine import stash

        return self._changed("stash", job_id, stash)

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on."""
        from queuectl.domain.state_machine import resume

        return self._changed("resume", job_id, resume)

    def move(self, job_id: str, *, last: bool = False) -> Job:
        """Put a waiting job before all others of its queue that are due, or behind them."""
        from queuectl.queue.change import move

        moved = move(self._store, job_id, last=last)
        self.note("jobs move", job_id)
        return moved

    def switch(self, job_id: str, other_id: str) -> None:
        """Let two jobs of a queue that wait take each other's place."""
        from queuectl.queue.change import switch

        switch(self._store, job_id, other_id)
        for each in (job_id, other_id):
            self.note("switch", each)

    def edit(self, job_id: str, wanted: Mapping[str, object], *, rev: int | None = None) -> Job:
        """Give fields of a waiting job other values; all of them, or none on an error.

        None is what a new job would have. With `rev` the job must still be as it was read.
        Raises InvalidInput, Conflict, or NotFound.
        """
        from queuectl.queue.change import Edit

        decide = Edit(self._store, wanted, self.settings(), rev, self._signer).decide
        return self._changed("edit", job_id, decide, about=" ".join(sorted(wanted)))

    def check_edit(self, job: Job, wanted: Mapping[str, object]) -> bool:
        """Return whether an edit would change a job. Raises what `edit` would raise."""
        from queuectl.domain.job_edit import changes_nothing
        from queuectl.queue.change import Edit

        edit = Edit(self._store, wanted, self.settings(), signer=self._signer)
        return not changes_nothing(edit.decide(job, self.now()))

    def retry(self, job_id: str, *, only: Filter | None = None) -> Job:
        """Start a settled or failed job afresh, due now.

        Raises NoLongerFits for one that is not what the filter `only` means.
        """
        from queuectl.domain.state_machine import retry

        return self._changed("retry", job_id, retry, only)

    def retry_dead(self, job_id: str) -> Job:
        """Start a job of the DLQ afresh. Raises Conflict for one that is not dead."""
        from queuectl.queue.change import retry_dead

        return self._changed("retry", job_id, retry_dead)

    def delete(self, job_id: str, *, force: bool = False, only: Filter | None = None) -> None:
        """Forget a job that does not run, and its logs on this machine.

        With `force` a running one is cancelled first. Raises Conflict when it does not end
        before its lease would, or does not fit the filter `only`.
        """
        from queuectl.queue.change import delete

        delete(self, job_id, force=force, only=only)
        self.note("delete", job_id)

    def _changed(
        self, act: str, job_id: str, decide: Decide, only: Filter | None = None, about: str = ""
    ) -> Job:
        from queuectl.queue.change import changed  # which enqueue has no use for

        job = changed(self._store, job_id, decide, only)
        self.note(act, job_id, about=about)
        return job

    # many jobs, each done or refused by itself

    def cancel_all(self, chosen: Filter) -> Iterator[ChangeResult]:
        """Cancel jobs as `cancel` does."""
        from queuectl.domain.job import State
        from queuectl.domain.state_machine import cancel
        from queuectl.queue.bulk import change_all

        results = change_all(self, chosen, cancel, State.CANCELLED)
        return self._noted("cancel", chosen, results, _changed_with)

    def retry_all(self, chosen: Filter) -> Iterator[ChangeResult]:
        """Start jobs afresh as `retry` does."""
        from queuectl.domain.job import State
        from queuectl.domain.state_machine import retry
        from queuectl.queue.bulk import change_all

        results = change_all(self, chosen, retry, State.PENDING)
        return self._noted("retry", chosen, results, _changed_with)

    def delete_all(self, chosen: Filter, *, force: bool = False) -> Iterator[ChangeResult]:
        """Forget jobs as `delete` does, with their logs on this machine."""
        from queuectl.queue.bulk import delete_all

        results = delete_all(self, chosen, force=force)
        return self._noted("delete", chosen, results, _changed_with)

    def purge(self, chosen: Filter) -> Iterator[Purged]:
        """Delete the settled jobs that a filter selects, with their logs on this machine.

        Yields how far it has come, a few hundred jobs at a time, and lets others write in
        between. Jobs for which others wait are kept, and the latest runs of schedules. Raises
        InvalidInput for a state that is not settled.
        """
        from queuectl.queue.bulk import purge

        return self._noted("purge", chosen, purge(self, chosen), lambda _, done: done.deleted)

    # queues

    def pause_queue(self, name: str) -> None:
        """Claim nothing more from a queue; what runs there goes on."""
        self._decide(name, paused=True)
        self.note("queue pause", name)

    def resume_queue(self, name: str) -> None:
        """Claim from a queue again."""
        self._decide(name, paused=False)
        self.note("queue resume", name)

    def limit_queue(self, name: str, slots: int) -> None:
        """Let at most so many slots of a queue run at once, in the whole fleet; 0 is any number.

        Of the queue `hooks` that is how many deliveries of each hook may run at once.
        """
        if not 0 <= slots <= MAX_SLOTS:
            raise InvalidInput(f"a limit is a whole number from 0 to {MAX_SLOTS:,}, not {slots}")
        self._decide(name, limit=slots)
        self.note("queue limit", name, about=str(slots))

    def _decide(self, name: str, *, paused: bool | None = None, limit: int | None = None) -> None:
        self._store.set_queue_limit(check_name("queue", name), paused=paused, limit=limit)
        if name == DELIVERY_QUEUE:
            self.hooks.decide(paused=paused, limit=limit)

    # workers, schedules and hooks

    def ask_workers_to_stop(self, ids: Collection[str], how: StopRequest) -> None:
        """Ask workers, wherever they are, to leave with their next heartbeat."""
        self._store.workers.ask_to_stop(ids, how)
        for each in ids:
            self.note("worker stop", each)

    @property
    def schedules(self) -> Schedules:
        """What is enqueued again and again."""
        from queuectl.queue.schedules import Schedules

        return Schedules(self._store, self.missing_hint, self.note)

    @cached_property
    def resources(self) -> Resources:
        """Named resources that jobs hold while they run."""
        from queuectl.queue.resources import Resources

        return Resources(self._store, self.missing_hint, self.note)

    @cached_property
    def hosts(self) -> Hosts:
        """The hosts of the fleet."""
        from queuectl.queue.hosts import Hosts

        return Hosts(self._store, self.note)

    @property
    def hooks(self) -> Hooks:
        """Who is told of what."""
        from queuectl.queue.hooks import Hooks

        return Hooks(self._store, self.missing_hint, self.note)

    # settings, and the store itself

    def set_setting(self, word: str, raw: object) -> tuple[str, Value]:
        """Store a setting; return its key and value. Raises InvalidInput."""
        key = tunables.resolve_key(word)
        value = tunables.parse_value(key, raw)
        self._store.settings.set(key, value)
        self.note("config set", key, about=tunables.show(value))
        return key, value

    def unset_setting(self, word: str) -> tuple[str, Value | None]:
        """Remove a setting from the store; return its key and default. Raises InvalidInput.

        One that is stored and unknown, such as that of another version, has no default.
        """
        if word not in tunables.KEYS and word in self._store.settings.all():
            self._store.settings.set(word, None)
            self.note("config unset", word)
            return word, None
        key = tunables.resolve_key(word)
        self._store.settings.set(key, None)
        self.note("config unset", key)
        return key, tunables.default_of(key)

    def faults(self) -> list[str]:
        """Return one line for each fault of the store and of what it holds."""
        return [
            *self._store.check(),
            *tunables.faults(self._store.settings.all()),
            *self.schedules.faults(),
        ]


def _changed_with(number: int, result: ChangeResult) -> int:
    """Return how many jobs were changed with one more result of many."""
    return number if result.error else number + result.number


def open_queue(home: str | None = None, store: str | None = None) -> Queue:
    """Open the queue that `home` and `store` (or the environment, as for the command) mean.

    Close it when done, or use it in a `with` statement.
    """
    return Queue.open(find_location(home, store))
