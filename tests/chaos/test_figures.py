"""The figures are those of the store, whoever is killed while runs end and are counted."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from functools import partial

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from queuectl.domain.events import RunResult
from queuectl.domain.job import State
from queuectl.domain.query import Page
from queuectl.queue import Queue
from queuectl.queue.metrics import metrics_text
from queuectl.web.app import build
from tests.stores.conftest import slow_on_mongo
from tests.web.kit import HOST, policy
from tests.worker.fleet import Fleet, eventually

JOBS = 30
KILLS = 3
_LAST = {
    State.COMPLETED: RunResult.COMPLETED,
    State.DEAD: RunResult.DEAD,
}


def ends_in_the_store(queue: Queue) -> Counter[str]:
    """Return how the runs ended that are in the histories of all jobs, which are all settled."""
    found: Counter[str] = Counter()
    for job in queue.find(page=Page(with_history=True)):
        *others, last = job.history
        found[_LAST[job.state].value] += 1
        for run in others:
            lost = run.error is not None and "worker lost" in run.error
            found["interrupted" if lost else "failed"] += 1
        assert job.state is State.COMPLETED or last.exit_code == 1
    return found


@slow_on_mongo
def test_after_workers_were_killed_all_figures_are_those_of_the_store(chaos: Fleet) -> None:
    pids = chaos.start(2)
    fields = {"max_retries": 2, "backoff_base": 0}
    commands = ("true", "sleep 0.05", "false")
    ids = chaos.enqueue_all({"command": commands[n % 3], **fields} for n in range(JOBS))
    for kill in range(1, KILLS + 1):
        next(chaos.queue.wait([ids[kill * JOBS // (KILLS + 2)]]))
        os.kill(pids[kill % 2], signal.SIGKILL)
        pids = eventually(partial(_others, chaos, pids))
    assert len(list(chaos.queue.wait(ids, 90))) == JOBS
    expected = ends_in_the_store(chaos.queue)
    stats = chaos.queue.stats()
    figures = stats.total.ever
    assert figures.enqueued == JOBS
    assert {str(each): figures.of(each) for each in RunResult if figures.of(each)} == expected
    assert stats.total.period == figures
    assert figures.wait.total <= sum(expected.values())
    assert figures.run.total == figures.finished
    told = {
        (sample.name, sample.labels.get("outcome", "")): sample.value
        for family in text_string_to_metric_families(metrics_text(chaos.queue))
        for sample in family.samples
    }
    assert told["queuectl_jobs_enqueued_total", ""] == JOBS
    assert {str(each): told["queuectl_runs_total", str(each)] for each in RunResult} == {
        str(each): expected[str(each)] for each in RunResult
    }
    assert shown_by_the_dashboard(chaos) == {
        "ever": {"enqueued": JOBS, **expected},
        "last hour": {"enqueued": JOBS, **expected},
        "minute by minute": {"enqueued": JOBS, **expected},
        "jobs, by the API": {word: expected[word] for word in ("completed", "dead")},
        "jobs, on the page": {word: expected[word] for word in ("completed", "dead")},
    }
    assert chaos.queue.store.stats.pending_events().is_empty


def shown_by_the_dashboard(fleet: Fleet) -> dict[str, dict[str, int]]:
    """Return what its API and its first page tell, without what is 0."""
    app, _ = build(fleet.location, policy())
    with TestClient(app, f"http://{HOST}", client=("127.0.0.1", 50_000)) as dashboard:
        total = dashboard.get("/api/stats").json()["total"]
        counts = dashboard.get("/api/status").json()["counts"]
        page = dashboard.get("/").text
    minutes: Counter[str] = Counter()
    for minute in total["series"]:
        minutes.update(minute)
    tiles = {word: int(text) for word, text in re.findall(r'data-count="(\w+)">(\d+)<', page)}
    assert counts.pop("total") == sum(tiles.values())
    figures = {"ever": total["ever"], "last hour": total, "minute by minute": minutes}
    words = ("enqueued", *map(str, RunResult))
    found = {name: {word: each[word] for word in words} for name, each in figures.items()}
    found |= {"jobs, by the API": counts, "jobs, on the page": tiles}
    return {
        name: {word: number for word, number in each.items() if number}
        for name, each in found.items()
    }


def _others(fleet: Fleet, before: list[int]) -> list[int]:
    """Return the pids of two workers, once one of those before is replaced."""
    now = fleet.pids()
    return now if len(now) == 2 and set(now) != set(before) else []
