"""What `export` writes: typed lines of JSON, jobs in order of arrival."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from queuectl.domain.query import Filter, Page
from queuectl.domain.queue_limits import is_of_deliveries
from queuectl.domain.times import iso
from queuectl.stores.base import Store
from queuectl.transfer.jsonl import job_to_line, masked_pairs, schedule_to_line

FORMAT = 1
Line = dict[str, Any]


def lines(store: Store, chosen: Filter | None, *, masked: bool) -> Iterator[Line]:
    """Yield a heading, then everything, or the jobs that a filter selects.

    A captured environment comes before the first job that names it. With `masked` the values of
    secrets are hidden, and the whole cannot be imported.
    """
    heading: Line = {"type": "queuectl", "format": FORMAT, "exported_at": iso(store.now())}
    yield {**heading, "masked": True} if masked else heading
    schedules = store.schedules() if chosen is None else []
    if chosen is None:
        for key, value in sorted(store.settings().items()):
            yield {"type": "setting", "key": key, "value": value}
        for name, queue_limit in store.queue_limits().items():
            if is_of_deliveries(name):
                continue  # left out as hooks are, with what they tell
            yield {
                "type": "queue",
                "name": name,
                "paused": queue_limit.paused,
                "limit": queue_limit.limit,
            }
    told: set[str] = set()
    page = Page(with_output=True, with_history=True)
    for job in store.find((chosen or Filter()).of_jobs(), page):
        environment = job.spec.environment
        if environment and environment not in told:
            told.add(environment)
            yield from _environment(store, environment, masked=masked)
        yield {"type": "job", **job_to_line(job, masked=masked)}
    # read before the jobs and written behind them: no run is left out, and none enqueued again
    for schedule in schedules:
        yield {"type": "schedule", **schedule_to_line(schedule, masked=masked)}


def _environment(store: Store, name: str, *, masked: bool) -> Iterator[Line]:
    variables = store.environment(name)
    if variables is not None:
        pairs = masked_pairs(variables) if masked else [list(pair) for pair in variables]
        yield {"type": "environment", "id": name, "variables": pairs}
