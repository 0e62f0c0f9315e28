"""Figures: what was enqueued and how runs ended, by queue and minute, and reports made of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from queuectl.domain.events import RunResult
from queuectl.domain.frozen import fresh, frozen
from queuectl.domain.times import iso

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

MEMORY_BOUNDS = tuple(step * 2**power for power in range(20, 42) for step in (1.0, 1.5))
"""The upper bounds of the buckets for memory in bytes, from 1 MiB to 3 TiB; see `BOUNDS`."""

_MEMORY_BUCKETS = (*(str(int(bound)) for bound in MEMORY_BOUNDS), "more")

StatsBucket = tuple[str, datetime]
"""A queue, and the minute that begins at an instant."""


@frozen
class Histogram:
    """How often something took how long: by bucket of `BOUNDS`, and in all in microseconds.

    `most` is how long the longest took, where that is kept, else 0.
    """

    counts: tuple[int, ...] = _NOTHING
    micros: int = 0
    most: int = 0

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
        return Histogram(counts, self.micros + other.micros, max(self.most, other.most))

    @property
    def longest(self) -> float | None:
        """How many seconds the longest took; None when there are none."""
        return self.most / 1_000_000 if self.total else None

    def quantile(self, share: float) -> float | None:
        """Return the seconds that a share (0.95) of all took at most; None when there are none.

        The bucket in which it lies is taken as filled evenly, as Prometheus's
        `histogram_quantile` does: lower + (upper - lower) * (rank - below) / in the bucket, with
        rank = share * total. Past the last bound it is that bound.
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        found = _quantile(self.counts, BOUNDS, share)
        return found if found is None or not self.most else min(found, self.most / 1_000_000)


@frozen
class Sizes:
    """How often something had what size: by bucket of `MEMORY_BOUNDS`, and in all in bytes."""

    counts: tuple[int, ...] = (0,) * len(_MEMORY_BUCKETS)
    bytes: int = 0
    most: int = 0

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts)

    @property
    def largest(self) -> int | None:
        """How many bytes the largest had; None when there are none."""
        return self.most if self.total else None

    def __add__(self, other: Sizes) -> Sizes:
        counts = tuple(map(int.__add__, self.counts, other.counts))
        return Sizes(counts, self.bytes + other.bytes, max(self.most, other.most))

    def quantile(self, share: float) -> float | None:
        """Return the bytes that a share (0.95) of all had at most; see `Histogram.quantile`."""
        found = _quantile(self.counts, MEMORY_BOUNDS, share)
        return None if found is None else min(found, self.most)


def _quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    total = sum(counts)
    if not total:
        return None
    rank, below, lower = share * total, 0, 0.0
    for upper, number in zip(bounds, counts, strict=False):
        if number and below + number >= rank:
            return lower + (upper - lower) * (rank - below) / number
        below, lower = below + number, upper
    return bounds[-1]


@frozen
class Figures:
    """What happened in one queue in one stretch of time.

    `failed` counts attempts that were to be tried again, `dead` those that were the last.
    `run` has how long the completed, failed and dead ones took, and `wait` how long runs had
    been due when they were started, as far as that is known (see `RunFinished`). `cpu` has the
    processor time of those that `run` counts, and `memory` the most that each used.
    """

    enqueued: int = 0
    completed: int = 0
    failed: int = 0
    dead: int = 0
    cancelled: int = 0
    interrupted: int = 0
    run: Histogram = fresh(Histogram)
    wait: Histogram = fresh(Histogram)
    cpu: Histogram = fresh(Histogram)
    memory: Sizes = fresh(Sizes)

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
        names = Figures.__match_args__
        return Figures(*(getattr(self, name) + getattr(other, name) for name in names))


COUNTS = ("enqueued", *(outcome.value for outcome in RunResult))
"""The fields of `Figures` that count: jobs that were enqueued, and runs by what they came to."""

_MEASURED = frozenset({RunResult.COMPLETED, RunResult.FAILED, RunResult.DEAD})

Numbers = Mapping[str, int]
"""Figures as a store keeps them: `completed`, `run_5` (took up to 5 ms), `run_micros` and so on.

Whole numbers under names, so that a store adds them up without knowing what they mean; of those
whose names end in `MOST` it keeps the greatest. What is 0 is left out.
"""

MOST = "_most"


def from_numbers(numbers: Numbers) -> Figures:
    """Return the figures that a store kept; names that are unknown are passed over."""
    counts = {name: numbers.get(name, 0) for name in COUNTS}
    return Figures(
        **counts,
        run=_histogram("run", numbers),
        wait=_histogram("wait", numbers),
        cpu=_histogram("cpu", numbers),
        memory=_sizes("memory", numbers),
    )


def _histogram(kind: str, numbers: Numbers) -> Histogram:
    counts = tuple(numbers.get(f"{kind}_{bucket}", 0) for bucket in _BUCKETS)
    return Histogram(counts, numbers.get(f"{kind}_micros", 0), numbers.get(kind + MOST, 0))


def _sizes(kind: str, numbers: Numbers) -> Sizes:
    counts = tuple(numbers.get(f"{kind}_{bucket}", 0) for bucket in _MEMORY_BUCKETS)
    return Sizes(counts, numbers.get(f"{kind}_bytes", 0), numbers.get(kind + MOST, 0))


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
            if event.cpu_seconds is not None:
                _measure(numbers, "cpu_", event.cpu_seconds)
                _keep_most(numbers, "cpu", round(event.cpu_seconds * 1_000_000))
            if event.peak_memory is not None:
                _measure_size(numbers, "memory", event.peak_memory)
        if event.waited is not None:
            _measure(numbers, "wait_", event.waited)
    return found


def _measure(numbers: dict[str, int], kind: str, seconds: float) -> None:
    bucket, micros = kind + _BUCKETS[bisect_left(BOUNDS, seconds)], kind + "micros"
    numbers[bucket] = numbers.get(bucket, 0) + 1
    numbers[micros] = numbers.get(micros, 0) + round(seconds * 1_000_000)


def _measure_size(numbers: dict[str, int], kind: str, size: int) -> None:
    bucket = f"{kind}_{_MEMORY_BUCKETS[bisect_left(MEMORY_BOUNDS, size)]}"
    numbers[bucket] = numbers.get(bucket, 0) + 1
    numbers[f"{kind}_bytes"] = numbers.get(f"{kind}_bytes", 0) + size
    _keep_most(numbers, kind, size)


def _keep_most(numbers: dict[str, int], kind: str, number: int) -> None:
    if number > numbers.get(kind + MOST, 0):
        numbers[kind + MOST] = number


SERIES_MINUTES = 60
"""How many minutes a series has; the last of them is not over yet."""

SPANS = {"1m": 1, "5m": 5, "1h": 60}
"""The stretches over which throughput is told, in minutes."""

_MINUTE = timedelta(minutes=1)
_NO_FIGURES = Figures()


@frozen
class QueueReport:
    """What happened in one queue, or in all of them.

    `period` has the figures of the time that was asked for, `ever` those since the store was
    made. `series` has the latest `SERIES_MINUTES`, one for each minute, the newest last.
    `throughput` is how many attempts were finished a minute, by the names in `SPANS`.
    """

    period: Figures
    ever: Figures
    series: tuple[Figures, ...]
    throughput: Mapping[str, float]


@frozen
class Report:
    """Figures at one instant: of the minutes from `since` on, by queue, and `total` of all."""

    now: datetime
    since: datetime
    total: QueueReport
    queues: Mapping[str, QueueReport]


def earliest(now: datetime) -> datetime:
    """Return when the first minute of a series began."""
    return minute_of(now) - (SERIES_MINUTES - 1) * _MINUTE


def report(
    now: datetime,
    since: datetime,
    minutes: Mapping[StatsBucket, Figures],
    totals: Mapping[str, Figures],
    queue: str | None = None,
) -> Report:
    """Return the report on what happened since the minute of an instant.

    `minutes` must reach back to that and to `earliest`; `queue` leaves only that one.
    """
    since = minute_of(since)
    by_queue: dict[str, dict[datetime, Figures]] = {name: {} for name in totals}
    for (name, minute), figures in minutes.items():
        by_queue.setdefault(name, {})[minute] = figures
    if queue is not None:
        by_queue = {queue: by_queue.get(queue, {})}
    queues = {
        name: _of_queue(now, since, found, totals.get(name, _NO_FIGURES))
        for name, found in sorted(by_queue.items())
    }
    return Report(now, since, _together(list(queues.values()), now), queues)


def _of_queue(
    now: datetime, since: datetime, found: Mapping[datetime, Figures], ever: Figures
) -> QueueReport:
    first = earliest(now)
    series = tuple(found.get(first + n * _MINUTE, _NO_FIGURES) for n in range(SERIES_MINUTES))
    period = sum((each for minute, each in found.items() if minute >= since), _NO_FIGURES)
    return QueueReport(period, ever, series, _throughput(series, now))


def _together(queues: list[QueueReport], now: datetime) -> QueueReport:
    minutes = (tuple(each.series[n] for each in queues) for n in range(SERIES_MINUTES))
    series = tuple(sum(each, _NO_FIGURES) for each in minutes)
    period = sum((each.period for each in queues), _NO_FIGURES)
    ever = sum((each.ever for each in queues), _NO_FIGURES)
    return QueueReport(period, ever, series, _throughput(series, now))


def _throughput(series: tuple[Figures, ...], now: datetime) -> dict[str, float]:
    """Return finished attempts a minute: over whole minutes, and what has passed of this one."""
    begun = (now - minute_of(now)).total_seconds() / 60
    found = {}
    for name, minutes in SPANS.items():
        some = series[-minutes - 1 :]
        found[name] = sum(each.finished for each in some) / (len(some) - 1 + begun)
    return found


def as_dict(found: Report) -> dict[str, object]:
    """Return a report as `--json` prints it; times are ISO 8601, lengths of time seconds."""
    return {
        "now": iso(found.now),
        "since": iso(found.since),
        "total": _queue_as_dict(found.total),
        "queues": {name: _queue_as_dict(each) for name, each in found.queues.items()},
    }


def _queue_as_dict(found: QueueReport) -> dict[str, object]:
    period, ever = found.period, found.ever
    return {
        **counts_of(period),
        "success_rate": period.success_rate,
        "run_seconds": {"p50": period.run.quantile(0.5), "p95": period.run.quantile(0.95)},
        "wait_seconds": {"p50": period.wait.quantile(0.5), "p95": period.wait.quantile(0.95)},
        "cpu_seconds": {
            "p50": period.cpu.quantile(0.5),
            "p95": period.cpu.quantile(0.95),
            "most": period.cpu.longest,
        },
        "peak_memory": {
            "p50": period.memory.quantile(0.5),
            "p95": period.memory.quantile(0.95),
            "most": period.memory.largest,
        },
        "throughput": dict(found.throughput),
        "ever": {
            **counts_of(ever),
            "runs_measured": ever.run.total,
            "run_seconds_sum": ever.run.seconds,
            "waits_measured": ever.wait.total,
            "wait_seconds_sum": ever.wait.seconds,
            "cpu_seconds_sum": ever.cpu.seconds,
        },
        "series": [counts_of(each) for each in found.series],
    }


def counts_of(figures: Figures) -> dict[str, int]:
    """Return how many jobs were enqueued, and how many runs came to each end."""
    return {name: getattr(figures, name) for name in COUNTS}
