"""What the screen shows: one look at the store, and how fast jobs are completed. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, State
from queuectl.domain.query import Counts, Filter
from queuectl.domain.views import NO_CONTEXT, WaitContext
from queuectl.domain.worker_record import LiveWorker

BUCKET_SECONDS = 2.0
BUCKETS = 90


@frozen
class Snapshot:
    """One look at the store. `jobs` are those that changed last, the running ones first.

    `standing` has the name and `rev` of each schedule and hook, where they are wanted.
    """

    address: str
    now: datetime
    counts: Counts
    workers: tuple[LiveWorker, ...] = ()
    running: Mapping[str, Job] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    dead: tuple[Job, ...] = ()
    rates: tuple[int, ...] = ()
    per_minute: float = 0.0
    wait_context: WaitContext = NO_CONTEXT
    standing: tuple[tuple[str, int], ...] = ()


@frozen
class Wanted:
    """Which jobs the person wants to see, and how many of them; and whether what stands too."""

    chosen: Filter = field(default_factory=Filter)
    depth: int = 100
    with_standing: bool = False


def parse_filter(typed: str) -> Filter:
    """Return what `failed,dead queue=gpu label=x text` means. Raises InvalidInput.

    A word that names states chooses them; any other is looked for as text.
    """
    states: frozenset[State] = frozenset()
    queue, labels, words = None, [], []
    for word in typed.split():
        name, equals, value = word.partition("=")
        named = [part for part in word.lower().split(",") if part]
        if equals and name in ("queue", "label", "state") and not value:
            raise InvalidInput(f"{name}= needs a value")
        if name == "queue" and equals:
            queue = value
        elif name == "label" and equals:
            labels.append(value)
        elif named and all(part in _STATES for part in named):
            states |= {State(part) for part in named}
        else:
            words.append(word)
    return Filter(states, queue, tuple(labels), texts=tuple(words))


_STATES = frozenset(state.value for state in State)


class Meter:
    """Counts what is completed between looks, in buckets of a few seconds."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._first_at = 0.0
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS)

    def see(self, at: float, completed: int) -> None:
        """Note how many completed jobs there are at a moment of a steady clock, in seconds."""
        if self._last is None:
            self._first_at = at
        done = max(0, completed - (completed if self._last is None else self._last))
        self._last = completed
        number = int(at // BUCKET_SECONDS)
        if self._buckets and self._buckets[-1][0] == number:
            done += self._buckets.pop()[1]
        self._buckets.append((number, done))

    def per_minute(self, at: float) -> float:
        """Return how many jobs are completed a minute, by the last minute that was seen."""
        since = int((at - 60) // BUCKET_SECONDS)
        done = sum(count for number, count in self._buckets if number > since)
        seen = min(60.0, max(at - self._first_at, BUCKET_SECONDS))
        return done * 60 / seen

    def rates(self, at: float) -> tuple[int, ...]:
        """Return how many jobs were completed in each bucket since the first look."""
        now = int(at // BUCKET_SECONDS)
        counted = dict(self._buckets)
        start = max(int(self._first_at // BUCKET_SECONDS), now - BUCKETS + 1)
        return tuple(counted.get(number, 0) for number in range(start, now + 1))
