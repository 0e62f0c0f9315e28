"""How fast queued jobs are run, with few and with very many queued."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from figures import Figure, Target, digits
from processes import BenchError, wait_until
from stage import CROWD, PAIR, SLOTS, WORKERS, Plan, Stage, Workers

_MARKED = 2
_SLEEP_SECONDS = 0.2
_JOBS_FOR_A_SLEEP = 50
_MOST_DEAD = 1000
_LOOP = """
import subprocess, time
print(time.time())
for _ in range({}):
    subprocess.run("true", shell=True)
print(time.time())
"""


# what to compare with


def xargs_rate(stage: Stage, jobs: int, at_once: int = WORKERS) -> float:
    """Return how many shells a second xargs starts, so many at a time: the reference."""
    pipeline = f"seq {jobs} | xargs -P{at_once} -I{{}} sh -c true"
    return jobs / stage.timed(["sh", "-c", pipeline])


def loop_rate(stage: Stage, jobs: int) -> float:
    """Return the rate of two bare Python loops: the ceiling for a worker in Python."""
    each = jobs // WORKERS
    loop = shlex.join([sys.executable, "-c", _LOOP.format(each)])
    output = stage.run_program(["sh", "-c", f"{' & '.join([loop] * WORKERS)} & wait"])
    stamps = sorted(map(float, output.split()))
    return each * WORKERS / (stamps[-1] - stamps[0])


# drain


def drain(plan: Plan) -> list[Figure]:
    """Measure how fast workers empty a queue of `true`, also with each of the settings given."""
    target = Target(115, is_least=True)
    two = _drain_share(plan, "drain", "drain, two workers", PAIR, target)
    figures = [
        two,
        _drain_share(plan, "drain-slots", "drain, one worker of two slots", Workers(1, 2), target),
        _drain_share(plan, "drain-crowd", f"drain, one worker of {SLOTS} slots", CROWD,
                     Target(105, is_least=True)),
    ]  # fmt: skip
    if plan.peers:
        best = max(plan.peers, key=lambda name: plan.peers[name])
        above = [share / plan.peers[best] for share in two.samples]
        what = f"two workers over the strongest peer ({best})"
        figures.append(Figure("drain-peer", what, "×", above, Target(1, is_least=True)))
    for row in plan.settings:
        figures.append(_drain_share(plan, f"drain {row}", f"drain, {row}", PAIR, setting=row))
    loops = "two bare Python loops of subprocess.run(shell=True)"
    with Stage(plan.program) as stage:
        share = _share(stage, plan.jobs, WORKERS, lambda: loop_rate(stage, plan.jobs))
        xargs = xargs_rate(stage, plan.jobs)
    figures.append(Figure("loop", loops, "% of xargs", [share]))
    figures.append(Figure("xargs-rate", "xargs itself", "jobs/s", [xargs]))
    return figures


def _drain_share(
    plan: Plan,
    key: str,
    what: str,
    workers: Workers,
    target: Target | None = None,
    setting: str = "",
) -> Figure:
    """Drain a queue, beside what xargs does with as many at once."""
    at_once = workers.count * workers.slots
    with Stage(plan.program) as stage:
        if setting:
            name, _, value = setting.partition("=")
            stage.run("config", "set", name, value)
        share = _share(stage, plan.jobs, at_once, lambda: _drained(stage, plan.jobs, workers))
    unit = "% of xargs" if at_once == WORKERS else f"% of xargs -P{at_once}"
    return Figure(key, what, unit, [share], target, way=workers.way(plan.program))


def _share(stage: Stage, jobs: int, at_once: int, measure: Callable[[], float]) -> float:
    """Return a rate in percent of that of xargs right before and right after."""
    before = xargs_rate(stage, jobs, at_once)
    rate = measure()
    return 200 * rate / (before + xargs_rate(stage, jobs, at_once))


def _drained(stage: Stage, jobs: int, workers: Workers) -> float:
    """Drain a full queue; return jobs/s from the first job's start to the last job's end.

    The first jobs, and as many of the last as may run at once, make a file instead of running
    `true`: the kernel's time stamps on these bound the drain, and nothing looks at the workers
    meanwhile.
    """
    ends = min(workers.count * workers.slots, jobs // 2)
    first = [stage.home / f"first{n}" for n in range(_MARKED)]
    last = [stage.home / f"last{n}" for n in range(ends)]
    commands = ["true"] * jobs
    commands[:_MARKED] = [f": > {shlex.quote(str(mark))}" for mark in first]
    commands[-ends:] = [f": > {shlex.quote(str(mark))}" for mark in last]
    stage.enqueue((f"job-{n}", command) for n, command in enumerate(commands))
    stage.work_until(lambda: all(mark.exists() for mark in last), "the last job", workers)
    stage.check_completed(jobs)
    begun = min(mark.stat().st_mtime for mark in first)
    return jobs / (max(mark.stat().st_mtime for mark in last) - begun)


# jobs that wait


def sleep(plan: Plan) -> list[Figure]:
    """Measure how long jobs take that only wait, by their records."""
    jobs = SLOTS * max(1, plan.jobs // _JOBS_FOR_A_SLEEP)
    ideal = jobs / SLOTS * _SLEEP_SECONDS
    with Stage(plan.program) as stage:
        stage.enqueue((f"job-{n}", f"sleep {_SLEEP_SECONDS}") for n in range(jobs))
        stage.drain(CROWD)
        stage.check_completed(jobs)
        records = json.loads(stage.run("list", "--limit", "0", "--json"))
    begun = min(seconds_of(job["started_at"]) for job in records)
    ended = max(seconds_of(job["finished_at"]) for job in records)
    what = f"one worker of {SLOTS} slots, sleep {_SLEEP_SECONDS} × {jobs:,}"
    target = Target(1.05 * ideal, note=f"ideal {digits(ideal)}")
    way = CROWD.way(plan.program)
    return [Figure("sleep", what, "s", [ended - begun], target, way=way)]


# with a backlog


class Backlog:
    """A store with very many jobs queued, made once and used by more than one benchmark."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stack = ExitStack()
        self._stage: Stage | None = None

    def __enter__(self) -> Backlog:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stack.close()

    def stage(self) -> Stage:
        """Return the stage, with the jobs in it: a few dead and completed ones among them."""
        if self._stage is None:
            self._stage = self._stack.enter_context(Stage(self._plan.program))
            settled = min(_MOST_DEAD, self._plan.backlog // 100)
            self._stage.enqueue((f"dead-{n}", "exit 1") for n in range(settled))
            self._stage.start_workers()
            wait_until(lambda: self._dead() == settled, "the DLQ", 0.5)
            self._stage.stop_workers()
            self._stage.enqueue(_with_marks(self._stage.home, self._plan.backlog, self._plan.jobs))
        return self._stage

    def _dead(self) -> int:
        assert self._stage is not None
        return self._stage.counts()["dead"]


def backlog(plan: Plan, queued: Backlog) -> list[Figure]:
    """Measure the rate of the next jobs of a long queue against that of a short one."""
    if plan.backlog < 2 * (plan.rounds + 1) * plan.jobs:
        raise BenchError("the backlog is too short for so many rounds of so many jobs")
    long = queued.stage()
    with Stage(plan.program) as short:
        short.enqueue(_with_marks(short.home, 2 * plan.jobs, plan.jobs))
        plain = _share(short, plan.jobs, WORKERS, lambda: _next_block(short, plan.jobs))
        loaded = _share(short, plan.jobs, WORKERS, lambda: _next_block(long, plan.jobs))
    what = f"drain with {plan.backlog:,} queued"
    few = f"drain with {2 * plan.jobs:,} queued"
    return [
        Figure("backlog", what, "% of that with few", [100 * loaded / plain],
               Target(95, is_least=True)),
        Figure("backlog-share", what, "% of xargs", [loaded]),
        Figure("plain-share", few, "% of xargs", [plain]),
    ]  # fmt: skip


def _with_marks(home: Path, number: int, block: int) -> Iterator[tuple[str, str]]:
    """Yield jobs, of which some in each block make a file, so that progress shows."""
    step = max(1, block // 4)
    marks = home / "marks"
    marks.mkdir()
    for n in range(number):
        mark = shlex.quote(str(marks / str(n)))
        yield f"job-{n}", f": > {mark}" if n % step == 0 else "true"


def _next_block(stage: Stage, jobs: int) -> float:
    """Run at least so many jobs of a queue; return the rate of these, by the jobs' records.

    The jobs run in the order of their numbers, so the completed ones are the first.
    """
    begin = stage.counts()["completed"]
    end = begin + jobs
    step = max(1, jobs // 4)
    mark = stage.home / "marks" / str(-(-end // step) * step)
    stage.work_until(mark.exists, "the end of the block")
    starts = [_instant(stage, n, "started_at") for n in (begin, begin + 1)]
    ends = [_instant(stage, n, "finished_at") for n in (end - 2, end - 1)]
    return jobs / (max(ends) - min(starts))


def _instant(stage: Stage, number: int, name: str) -> float:
    return seconds_of(str(stage.job(f"job-{number}")[name]))


def seconds_of(instant: str) -> float:
    """Return an instant of a job's record as seconds since the epoch."""
    return datetime.fromisoformat(instant.replace("Z", "+00:00")).timestamp()
