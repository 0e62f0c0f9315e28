"""Metrics for Prometheus, made from the store each time somebody asks.

https://prometheus.io/docs/practices/naming/ is where names and units come from, and
docs/metrics.md says what each of them means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from queuectl.domain.errors import QueuectlError
from queuectl.domain.events import RunResult
from queuectl.domain.job import State
from queuectl.domain.queue_limits import hook_of_queue, is_of_deliveries
from queuectl.domain.stats import BOUNDS, MEMORY_BOUNDS, Figures, Histogram, Sizes

if TYPE_CHECKING:
    from queuectl.queue import Queue

__all__ = ["CONTENT_TYPE_LATEST", "StoreCollector", "metrics_text", "registry_of"]

_WORKER_STATES = ("idle", "busy", "stopping")
MOST_QUEUES = 200
"""How many queues have series: each has about seventy."""

LATELY = timedelta(hours=1)
"""How long a queue without jobs keeps its series after something has happened in it."""

_OVER = frozenset({State.COMPLETED, State.CANCELLED})
_NOTHING = Figures()
_LABELS = [*map(str, BOUNDS), "+Inf"]

OpenQueue = Callable[[], "AbstractContextManager[Queue]"]


class StoreCollector(Collector):
    """Opens a queue for each collection, so that it may be asked from any thread.

    A store that is out of reach is told as `queuectl_up` 0, and of it nothing else.
    """

    def __init__(self, open_queue: OpenQueue) -> None:
        self._open_queue = open_queue

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that it is not asked before somebody wants to know."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        try:
            with self._open_queue() as queue:
                metrics = _all(queue)
        except QueuectlError:
            metrics = [_up(is_up=False)]
        yield from metrics


class _Collected(Collector):
    """Metrics that were collected before."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def metrics_text(queue: Queue) -> str:
    """Return all metrics of a queue in the text format of Prometheus (`CONTENT_TYPE_LATEST`).

    Raises StoreUnavailable, StoreRefused.
    """
    return generate_latest(registry_of(_Collected(_all(queue)))).decode()


def registry_of(collector: Collector) -> CollectorRegistry:
    """Return what holds one collector, and nothing of this process."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def _all(queue: Queue) -> list[Metric]:
    totals = queue.totals()  # which also counts what nobody has counted yet
    names, left_out = _shown_queues(queue)
    return [_up(is_up=True), *_now(queue, names), *_of_queues(queue, names, left_out),
            *_ever(totals, names)]  # fmt: skip


def _shown_queues(queue: Queue) -> tuple[list[str], int]:
    """Return the queues that have series, in order, and how many others there are.

    A queue has them from its first job on, and as long as it has jobs in the store, was decided
    about, or had something happen in it lately. Where there are too many those come first in
    which something is not over, or has died.
    """
    counts = queue.counts().by_queue
    lately = queue.store.stats.figures(queue.now() - LATELY)
    active = {name for name, _ in lately if not is_of_deliveries(name)}
    names = sorted({*counts, *queue.queue_limits(), *active})

    def is_over(name: str) -> bool:
        return not any(state not in _OVER for state in counts.get(name, ()))

    shown = sorted(names, key=lambda name: (is_over(name), name not in active))[:MOST_QUEUES]
    return sorted(shown), len(names) - len(shown)


def _up(*, is_up: bool) -> Metric:
    text = "Whether the store can be read (1) or not (0)."
    return GaugeMetricFamily("queuectl_up", text, value=float(is_up))


def _of_queues(queue: Queue, names: list[str], left_out: int) -> Iterator[Metric]:
    """Yield what was decided about queues, and how many of them have no series."""
    paused = GaugeMetricFamily(
        "queuectl_queue_paused", "Whether a queue is paused (1) or not (0).", labels=("queue",)
    )
    limits = queue.queue_limits()
    for name in names:
        paused.add_metric((name,), float(name in limits and limits[name].paused))
    text = "Queues of which there is no series, because there are too many."
    yield from (paused, GaugeMetricFamily("queuectl_queues_left_out", text, value=left_out))


def _now(queue: Queue, names: list[str]) -> Iterator[Metric]:
    """Yield what is so at this moment."""
    counts, due, now = queue.counts(), queue.oldest_due(), queue.now()
    jobs = GaugeMetricFamily(
        "queuectl_jobs", "Jobs in the store by state.", labels=("queue", "state")
    )
    age = GaugeMetricFamily(
        "queuectl_oldest_due_age_seconds",
        "How long the job has been due that has been so longest, 0 without any.",
        labels=("queue",),
    )
    for name in names:
        states = counts.by_queue.get(name, {})
        for state in State:
            jobs.add_metric((name, state.value), states.get(state, 0))
        waiting = max(0.0, (now - due[name]).total_seconds()) if name in due else 0.0
        age.add_metric((name,), waiting)
    workers = GaugeMetricFamily("queuectl_workers", "Workers that are alive.", labels=("state",))
    living = [worker.state for worker in queue.workers()]
    for word in _WORKER_STATES:
        workers.add_metric((word,), living.count(word))
    deliveries = GaugeMetricFamily(
        "queuectl_deliveries",
        "Deliveries of hooks in the store by state.",
        labels=("hook", "state"),
    )
    for name, states in sorted(queue.counts(deliveries=True).by_queue.items()):
        for state, number in sorted(states.items()):
            deliveries.add_metric((hook_of_queue(name), state.value), number)
    yield from (jobs, age, workers, deliveries)


def _ever(totals: dict[str, Figures], names: list[str]) -> Iterator[Metric]:
    """Yield what has been counted since the store was made."""
    enqueued = CounterMetricFamily(
        "queuectl_jobs_enqueued", "Jobs that were enqueued.", labels=("queue",)
    )
    runs = CounterMetricFamily(
        "queuectl_runs", "Runs that ended, by how they did.", labels=("queue", "outcome")
    )
    durations = HistogramMetricFamily(
        "queuectl_run_duration_seconds",
        "How long runs took that completed or failed.",
        labels=("queue",),
    )
    waits = HistogramMetricFamily(
        "queuectl_wait_seconds",
        "How long runs had been due when they were started.",
        labels=("queue",),
    )
    cpu = HistogramMetricFamily(
        "queuectl_run_cpu_seconds",
        "How much processor time runs used that completed or failed.",
        labels=("queue",),
    )
    memory = HistogramMetricFamily(
        "queuectl_run_peak_memory_bytes",
        "The most memory that each run used that completed or failed.",
        labels=("queue",),
    )
    for name in names:
        figures = totals.get(name, _NOTHING)
        enqueued.add_metric((name,), figures.enqueued)
        for outcome in RunResult:
            runs.add_metric((name, outcome.value), figures.of(outcome))
        durations.add_metric((name,), _buckets(figures.run), figures.run.seconds)
        waits.add_metric((name,), _buckets(figures.wait), figures.wait.seconds)
        cpu.add_metric((name,), _buckets(figures.cpu), figures.cpu.seconds)
        memory.add_metric((name,), _size_buckets(figures.memory), float(figures.memory.bytes))
    yield from (enqueued, runs, durations, waits, cpu, memory)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    return list(zip(_LABELS, map(float, accumulate(histogram.counts)), strict=True))


def _size_buckets(sizes: Sizes) -> list[tuple[str, float]]:
    """Return the buckets of powers of 4, which are enough there; the others count with them."""
    cumulated = list(accumulate(sizes.counts))
    some = list(zip(map(str, MEMORY_BOUNDS), map(float, cumulated), strict=False))[::4]
    return [*some, ("+Inf", float(cumulated[-1]))]
