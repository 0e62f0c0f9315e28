"""Figures: what was enqueued and how runs ended, counted by queue and minute."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from queuectl.domain.events import RunResult
from queuectl.domain.frozen import frozen

if TYPE_CHECKING:
    from queuectl.domain.events import RunFinished

BOUNDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0,
    60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0,
)  # fmt: skip
"""The upper bounds of the histograms' buckets in seconds; one more bucket has all that is longer.

Figures are stored by these bounds, so one may be added, and never moved.
"""

_MILLIS = tuple(round(bound * 1000) for bound in BOUNDS)
_BUCKETS = (*(str(millis) for millis in _MILLIS), "more")
_NOTHING = (0,) * len(_BUCKETS)

StatsBucket = tuple[str, datetime]
"""A queue, and the minute that begins at an instant."""


@frozen
class Histogram:
    """How often something took how long: by bucket of `BOUNDS`, and in all in microseconds."""

    counts: tuple[int, ...] = _NOTHING
    micros: int = 0

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts)

    @property
    def seconds(self) -> float:
        """How long all of them took together."""
        return self.micros / 1_000_000

    def __add__(self, other: Histogram) -> Histogram:
        counts = tuple(map(int.__add__, self.counts, other.counts))
        return Histogram(counts, self.micros + other.micros)

    def quantile(self, share: float) -> float | None:
        """Return the seconds that a share (0.95) of all took at most; None when there are none.

        The bucket in which it lies is taken as filled evenly, as Prometheus's
        `histogram_quantile` does: lower + (upper - lower) * (rank - below) / in the bucket, with
        rank = share * total. Past the last bound it is that bound.
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        total = self.total
        if not total:
            return None
        rank, below, lower = share * total, 0, 0.0
        for upper, number in zip(BOUNDS, self.counts, strict=False):
            if number and below + number >= rank:
                return lower + (upper - lower) * (rank - below) / number
            below, lower = below + number, upper
        return BOUNDS[-1]


@frozen
class Figures:
    """What happened in one queue in one stretch of time.

    `failed` counts attempts that were to be tried again, `dead` those that were the last.
    `run` has how long the completed, failed and dead ones took, and `wait` how long runs had
    been due when they were started, as far as that is known (see `RunFinished`).
    """

    enqueued: int = 0
    completed: int = 0
    failed: int = 0
    dead: int = 0
    cancelled: int = 0
    interrupted: int = 0
    run: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)

    @property
    def finished(self) -> int:
        """How many attempts came to an end of their own: completed, failed or dead."""
        return self.completed + self.failed + self.dead

    @property
    def success_rate(self) -> float | None:
        """The share of finished attempts that completed, from 0 to 1; None without any."""
        return self.completed / self.finished if self.finished else None

    def of(self, outcome: RunResult) -> int:
        """Return how many runs ended so."""
        number: int = getattr(self, outcome.value)
        return number

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.enqueued + other.enqueued,
            self.completed + other.completed,
            self.failed + other.failed,
            self.dead + other.dead,
            self.cancelled + other.cancelled,
            self.interrupted + other.interrupted,
            self.run + other.run,
            self.wait + other.wait,
        )


_COUNTS = ("enqueued", *(outcome.value for outcome in RunResult))
_MEASURED = frozenset({RunResult.COMPLETED, RunResult.FAILED, RunResult.DEAD})

Numbers = Mapping[str, int]
"""Figures as a store keeps them: `completed`, `run_5` (took up to 5 ms), `run_micros` and so on.

Whole numbers under names, so that a store adds them up without knowing what they mean. What is 0
is left out.
"""


def from_numbers(numbers: Numbers) -> Figures:
    """Return the figures that a store kept; names that are unknown are passed over."""
    enqueued, completed, failed, dead, cancelled, interrupted = (
        numbers.get(name, 0) for name in _COUNTS
    )
    return Figures(
        enqueued,
        completed,
        failed,
        dead,
        cancelled,
        interrupted,
        _histogram("run_", numbers),
        _histogram("wait_", numbers),
    )


def _histogram(kind: str, numbers: Numbers) -> Histogram:
    counts = tuple(numbers.get(kind + bucket, 0) for bucket in _BUCKETS)
    return Histogram(counts, numbers.get(kind + "micros", 0))


def minute_of(instant: datetime) -> datetime:
    """Return when the minute began that an instant is in."""
    return instant.replace(second=0, microsecond=0)


def counted(
    events: Iterable[RunFinished], enqueued: Mapping[StatsBucket, int]
) -> dict[StatsBucket, dict[str, int]]:
    """Return the numbers that finished runs and new jobs add to the figures of each bucket."""
    found = {bucket: {"enqueued": number} for bucket, number in enqueued.items()}
    for event in events:
        bucket = (event.queue, minute_of(event.finished_at))
        numbers = found.get(bucket)
        if numbers is None:
            numbers = found[bucket] = {}
        outcome = event.outcome
        name = outcome.value
        numbers[name] = numbers.get(name, 0) + 1
        if event.duration is not None and outcome in _MEASURED:
            _measure(numbers, "run_", event.duration)
        if event.waited is not None:
            _measure(numbers, "wait_", event.waited)
    return found


def _measure(numbers: dict[str, int], kind: str, seconds: float) -> None:
    bucket, micros = kind + _BUCKETS[bisect_left(BOUNDS, seconds)], kind + "micros"
    numbers[bucket] = numbers.get(bucket, 0) + 1
    numbers[micros] = numbers.get(micros, 0) + round(seconds * 1_000_000)
