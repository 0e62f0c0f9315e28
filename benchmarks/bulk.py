"""How fast a file of jobs is enqueued, with how much memory, and what that does to workers."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from figures import Figure, Target
from processes import BenchError
from stage import Plan, Stage
from throughput import seconds_of

_BARE_INSERT = """
import itertools, json, sqlite3, sys
source, target = sys.argv[1:]
database = sqlite3.connect(target, isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=FULL")
database.execute("CREATE TABLE jobs (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, command TEXT)")
with open(source) as lines:
    while batch := list(itertools.islice(lines, 1000)):
        jobs = [json.loads(line) for line in batch]
        rows = [(job["id"], job["command"]) for job in jobs]
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO jobs (id, command) VALUES (?, ?)", rows)
        database.execute("COMMIT")
"""


def bulk(plan: Plan) -> list[Figure]:
    """Measure `enqueue --file`: its rate and memory, and whether workers wait meanwhile."""
    few = plan.bulk // 10
    _, _, least_peak = _enqueued(plan, _in_order(few))
    rate, share, peak = _enqueued(plan, _in_order(plan.bulk))
    random_rate, random_share, _ = _enqueued(plan, _at_random(plan.bulk))
    what = f"enqueue --file, {plan.bulk:,} jobs"
    bare = "the same over a bare loop of json.loads and SQLite inserts"
    return [
        Figure("bulk", f"{what}, ids in order", "jobs/s", [rate],
               Target(2.5, is_least=True, is_ratio=True)),
        Figure("bulk-share", bare, "%", [share]),
        Figure("bulk-random", f"{what}, random ids", "jobs/s", [random_rate],
               Target(2, is_least=True, is_ratio=True)),
        Figure("bulk-random-share", bare, "%", [random_share]),
        Figure("bulk-memory", "its memory at most, ids in order", "MB", [peak]),
        Figure("bulk-growth", f"memory above that for {few:,} jobs", "MB", [peak - least_peak],
               Target(5, note="constant memory")),
        Figure("bulk-wait", "longest wait of a worker that drains meanwhile", "ms",
               [_longest_wait(plan)], Target(500), is_extreme=True),
    ]  # fmt: skip


def _in_order(number: int) -> list[str]:
    return [f"bulk-{n:09}" for n in range(number)]


def _at_random(number: int) -> list[str]:
    """Return ids that fall anywhere among those before them; the same ones each time."""
    source = random.Random(number)
    return [f"{source.getrandbits(64):016x}" for _ in range(number)]


def _enqueued(plan: Plan, ids: Sequence[str]) -> tuple[float, float, float]:
    """Enqueue a file; return jobs/s, these in percent of a bare loop's, and MB at most."""
    with Stage(plan.program) as stage:
        path = stage.write_jobs((each, "true") for each in ids)
        before = _bare_seconds(stage, path, "before")
        seconds, peak = stage.peak_memory(stage.command("enqueue", "--file", str(path)))
        after = _bare_seconds(stage, path, "after")
    return len(ids) / seconds, 50 * (before + after) / seconds, peak


def _bare_seconds(stage: Stage, path: Path, name: str) -> float:
    target = str(stage.home / f"{name}.db")
    return stage.timed([stage.program.python, "-c", _BARE_INSERT, str(path), target])


def _longest_wait(plan: Plan) -> float:
    """Enqueue in bulk while two workers drain; return the longest ms between a worker's starts."""
    with Stage(plan.program) as stage:
        stage.enqueue((f"first-{n}", "true") for n in range(2 * plan.jobs))
        path = stage.write_jobs((f"bulk-{n}", "true") for n in range(plan.bulk))
        stage.start_workers()
        begun = time.time()
        stage.timed(stage.command("enqueue", "--file", str(path)))
        ended = time.time()
        time.sleep(0.5)
        stage.stop_workers()
        starts = _starts_by_worker(stage)
    waits = [
        later - earlier
        for of_one in starts.values()
        for earlier, later in pairwise(of_one)
        if later > begun and earlier < ended
    ]
    if not waits:
        raise BenchError("no worker ran anything meanwhile")
    return 1000 * max(waits)


def _starts_by_worker(stage: Stage) -> dict[str, list[float]]:
    starts: dict[str, list[float]] = {}
    for job in json.loads(stage.run("list", "--state", "completed", "--limit", "0", "--json")):
        for run in job["history"]:
            starts.setdefault(run["worker"], []).append(seconds_of(run["started_at"]))
    return {worker: sorted(found) for worker, found in starts.items()}
