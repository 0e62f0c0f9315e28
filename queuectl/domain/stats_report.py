"""Figures as people ask for them: over a stretch of time, by queue and in all, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from queuectl.domain.frozen import frozen
from queuectl.domain.stats import Figures, StatsBucket, minute_of

SERIES_MINUTES = 60
"""How many minutes a series has; the last of them is not over yet."""

SPANS = {"1m": 1, "5m": 5, "1h": 60}
"""The stretches over which throughput is told, in minutes."""

_MINUTE = timedelta(minutes=1)
_NOTHING = Figures()


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
        name: _of_queue(now, since, found, totals.get(name, _NOTHING))
        for name, found in sorted(by_queue.items())
    }
    return Report(now, since, _together(list(queues.values()), now), queues)


def _of_queue(
    now: datetime, since: datetime, found: Mapping[datetime, Figures], ever: Figures
) -> QueueReport:
    first = earliest(now)
    series = tuple(found.get(first + n * _MINUTE, _NOTHING) for n in range(SERIES_MINUTES))
    period = sum((each for minute, each in found.items() if minute >= since), _NOTHING)
    return QueueReport(period, ever, series, _throughput(series, now))


def _together(queues: list[QueueReport], now: datetime) -> QueueReport:
    series = tuple(
        sum((each.series[n] for each in queues), _NOTHING) for n in range(SERIES_MINUTES)
    )
    return QueueReport(
        sum((each.period for each in queues), _NOTHING),
        sum((each.ever for each in queues), _NOTHING),
        series,
        _throughput(series, now),
    )


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
    from queuectl.domain.times import iso

    return {
        "now": iso(found.now),
        "since": iso(found.since),
        "total": _queue_as_dict(found.total),
        "queues": {name: _queue_as_dict(each) for name, each in found.queues.items()},
    }


def _queue_as_dict(found: QueueReport) -> dict[str, object]:
    period = found.period
    return {
        **counts_of(period),
        "success_rate": period.success_rate,
        "run_seconds": {"p50": period.run.quantile(0.5), "p95": period.run.quantile(0.95)},
        "wait_seconds": {"p50": period.wait.quantile(0.5), "p95": period.wait.quantile(0.95)},
        "throughput": dict(found.throughput),
        "ever": {
            **counts_of(found.ever),
            "runs_measured": found.ever.run.total,
            "run_seconds_sum": found.ever.run.seconds,
            "waits_measured": found.ever.wait.total,
            "wait_seconds_sum": found.ever.wait.seconds,
        },
        "series": [counts_of(each) for each in found.series],
    }


def counts_of(figures: Figures) -> dict[str, int]:
    """Return how many jobs were enqueued, and how many runs came to each end."""
    return {
        "enqueued": figures.enqueued,
        "completed": figures.completed,
        "failed": figures.failed,
        "dead": figures.dead,
        "cancelled": figures.cancelled,
        "interrupted": figures.interrupted,
    }
