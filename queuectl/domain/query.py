"""What to list, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.frozen import fresh, frozen, replace
from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.job_fields import command_text
from queuectl.domain.queue_limits import DELIVERY_IDS, is_of_deliveries

SIGNALLED, TIMED_OUT = 128, 124
"""The exit codes by which a shell tells of signal 0 (of others so much more) and a time-out."""

_LONGEST_PLAIN = 1000


@frozen
class Filter:
    """Which jobs are meant. Empty fields do not restrict; several restrict together.

    `labels` must all be there; `unchanged_since` keeps jobs last changed before that instant,
    `changed_since` those last changed then or later; `id_prefix` is what the id begins with.
    `texts` must all be in the job's id, command or last error, in whatever case. `exit_code` is
    what the latest run ended with, or the code that a shell gives its signal or time-out.
    `deliveries` leaves those of hooks (True) or all other jobs (False), `batch` those of one batch,
    `parent` those that were to follow one job.
    """

    states: frozenset[State] = frozenset()
    queue: str | None = None
    labels: tuple[str, ...] = ()
    unchanged_since: datetime | None = None
    id_prefix: str = ""
    changed_since: datetime | None = None
    texts: tuple[str, ...] = ()
    exit_code: int | None = None
    deliveries: bool | None = None
    batch: str | None = None
    parent: str | None = None

    def fits(self, job: Job) -> bool:
        """Whether a job is one of those that are meant."""
        return (
            (not self.states or job.state in self.states)
            and (self.queue is None or job.spec.queue == self.queue)
            and (self.batch is None or job.spec.batch == self.batch)
            and self.deliveries in (None, is_of_deliveries(job.spec.queue))
            and (self.parent is None or self.parent in _followed(job))
            and set(self.labels) <= set(job.spec.labels)
            and (self.unchanged_since is None or job.updated_at < self.unchanged_since)
            and job.id.startswith(self.id_prefix)
            and (self.changed_since is None or job.updated_at >= self.changed_since)
            and (self.exit_code is None or _ended_with(job.outcome, self.exit_code))
            and (not self.texts or self._is_in(searched(job)))
        )

    def of_jobs(self) -> Filter:
        """Return the filter without deliveries of hooks, unless it asks for them by some name.

        One that asks for all of them names what their ids begin with, by which they are found.
        """
        if self.deliveries and not self.id_prefix:
            return replace(self, id_prefix=DELIVERY_IDS)
        if self.deliveries is not None or self.queue is not None or self.id_prefix or self.batch:
            return self
        return replace(self, deliveries=False)

    @property
    def is_search(self) -> bool:
        """Whether many jobs may have to be read to find one that is meant."""
        has_times = self.changed_since is not None or self.unchanged_since is not None
        return has_times or self.is_detailed or bool(self.labels)

    @property
    def is_detailed(self) -> bool:
        """Whether it asks for what is read only with the whole of a dead job."""
        return bool(self.texts) or self.exit_code is not None or self.parent is not None

    def _is_in(self, text: str) -> bool:
        small = text.lower()
        return all(
            _small_ascii(wanted) in _small_ascii(text)
            if is_plain(wanted)
            else wanted.lower() in small
            for wanted in self.texts
        )


def _followed(job: Job) -> tuple[str, ...]:
    """Return the jobs, and whole batches, that one was to follow."""
    return (*job.spec.after, *job.spec.after_any, *job.spec.after_fail)


def searched(job: Job) -> str:
    """Return what a text is looked for in."""
    return search_text(job.id, command_text(job.spec.command), job.last_error)


def search_text(job_id: str, command: str, error: str | None) -> str:
    """Return id, command and last error of a job as `searched` does."""
    return f"{job_id}\n{command}\n{error or ''}"


def _small_ascii(text: str) -> bytes:
    return text.encode(errors="surrogatepass").lower()


def is_plain(text: str) -> bool:
    """Whether a text is looked for as databases do by themselves: case is that of ASCII alone."""
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_PLAIN


def _ended_with(outcome: Outcome | None, code: int) -> bool:
    return outcome is not None and (
        outcome.exit_code == code
        or (outcome.signal is not None and SIGNALLED + outcome.signal == code)
        or (outcome.timed_out and code == TIMED_OUT)
    )


class Order(str, Enum):
    """What a listing is in the order of."""

    ARRIVAL = "arrival"
    TURN = "turn"
    """When they will run: those that may start now, by priority; then those that wait for their
    time; those of paused queues; those that wait for something else. Only of jobs that wait.
    """
    STATE = "state"
    ID = "id"
    QUEUE = "queue"
    PRIORITY = "priority"
    ATTEMPTS = "attempts"
    NEXT = "next"
    STARTED = "started"
    ENDED = "ended"
    CHANGED = "changed"
    DURATION = "duration"

    def __str__(self) -> str:
        return self.value


ORDER_FIELDS = {
    Order.ID: "id",
    Order.QUEUE: "queue",
    Order.PRIORITY: "priority",
    Order.ATTEMPTS: "attempts",
    Order.NEXT: "run_at",
    Order.STARTED: "started_at",
    Order.ENDED: "finished_at",
    Order.CHANGED: "updated_at",
    Order.DURATION: "duration",
}
"""The fields by whose values a listing may be ordered, as stores name them."""


@frozen
class Page:
    """A stretch of a listing: at most `limit` jobs (None: all) in an order.

    In order of arrival it begins after the job numbered `after_seq`, of one that is not made yet
    its `batch.place_of` (0: at the start). With `newest_first` any order but `TURN` runs the other
    way: the latest, greatest or last comes first. Jobs without the value that decides come last.
    `with_output` and `with_history` ask for the fields that cost most to read.
    """

    limit: int | None = None
    after_seq: int = 0
    newest_first: bool = False
    with_output: bool = False
    with_history: bool = False
    order: Order = Order.ARRIVAL


@frozen
class Counts:
    """How many jobs there are in each state, over all queues and in each."""

    by_queue: Mapping[str, Mapping[State, int]] = fresh(dict)

    def of(self, state: State) -> int:
        """Return how many jobs are in a state."""
        return sum(states.get(state, 0) for states in self.by_queue.values())

    @property
    def total(self) -> int:
        """How many jobs there are in all."""
        return sum(self.of(state) for state in State)

    def only(self, *, deliveries: bool) -> Counts:
        """Return the counts of the deliveries of hooks alone, or of all other jobs."""
        return Counts(
            {
                queue: states
                for queue, states in self.by_queue.items()
                if is_of_deliveries(queue) is deliveries
            }
        )

    def matching(self, chosen: Filter) -> int | None:
        """Return how many jobs a filter of states and queue alone selects, else None."""
        if replace(chosen, states=frozenset(), queue=None, deliveries=None) != Filter():
            return None
        queues = [
            in_queue
            for queue, in_queue in self.by_queue.items()
            if chosen.queue in (None, queue)
            and chosen.deliveries in (None, is_of_deliveries(queue))
        ]
        states = chosen.states or frozenset(State)
        return sum(in_queue.get(state, 0) for in_queue in queues for state in states)


_OTHER_WORDS = {
    State.PENDING: "queued waiting",
    State.PROCESSING: "running active busy",
    State.COMPLETED: "done success succeeded finished complete",
    State.CANCELLED: "canceled killed",
}
STATE_WORDS = {
    **{state.value: state for state in State},
    **{word: state for state, words in _OTHER_WORDS.items() for word in words.split()},
}
"""What people call the states, by habit from elsewhere too."""


def parse_states(words: str) -> frozenset[State]:
    """Return the states named in `pending,failed`. Raises InvalidInput for an unknown one."""
    return frozenset(map(_parse_state, words.split(",")))


def _parse_state(word: str) -> State:
    name = word.strip().lower()
    if name in STATE_WORDS:
        return STATE_WORDS[name]
    raise InvalidInput(
        f"unknown state {shown(word.strip())}{nearest(name, list(STATE_WORDS))}",
        hint=f"states: {', '.join(state.value for state in State)}",
    )
