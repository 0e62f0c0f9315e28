"""How fast queued jobs are run, with few and with very many queued."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from figures import Figure, Target
from processes import BenchError, wait_until
from stage import WORKERS, Plan, Stage

_MARKED = 2
_MOST_DEAD = 1000
_LOOP = """
import subprocess, time
print(time.time())
for _ in range({}):
    subprocess.run("true", shell=True)
print(time.time())
"""


# what to compare with


def xargs_rate(stage: Stage, jobs: int) -> float:
    """Return how many shells a second xargs starts, two at a time: the reference."""
    pipeline = f"seq {jobs} | xargs -P{WORKERS} -I{{}} sh -c true"
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
    """Measure how fast two workers empty a queue of `true`, by each of the settings asked for."""
    rows = ["", *plan.settings]
    shares: dict[str, list[float]] = {row: [] for row in ["loop", *rows]}
    rates: dict[str, list[float]] = {row: [] for row in ["xargs", *rows]}
    for _ in range(plan.rounds):
        for row in shares:
            with Stage(plan.program) as stage:
                before = xargs_rate(stage, plan.jobs)
                rate = loop_rate(stage, plan.jobs) if row == "loop" else _drained(stage, plan, row)
                after = xargs_rate(stage, plan.jobs)
            shares[row].append(200 * rate / (before + after))
            rates.setdefault(row, []).append(rate)
            rates["xargs"] += [before, after]
    return _drain_figures(plan, shares, rates)


def _drain_figures(
    plan: Plan, shares: dict[str, list[float]], rates: dict[str, list[float]]
) -> list[Figure]:
    target = Target(75, is_least=True, note="aim 85")
    figures = [Figure("drain", "drain, full durability", "% of xargs", shares[""], target)]
    if plan.peers:
        best = max(plan.peers, key=lambda name: plan.peers[name])
        above = [share / plan.peers[best] for share in shares[""]]
        what = f"the same over the strongest peer ({best})"
        figures.append(Figure("drain-peer", what, "×", above, Target(1, is_least=True)))
    for row in plan.settings:
        figures.append(Figure(f"drain {row}", f"drain, {row}", "% of xargs", shares[row]))
    what = "two bare Python loops of subprocess.run(shell=True)"
    figures.append(Figure("loop", what, "% of xargs", shares["loop"]))
    figures.append(Figure("drain-rate", "drain, full durability", "jobs/s", rates[""]))
    figures.append(Figure("xargs-rate", "xargs itself", "jobs/s", rates["xargs"]))
    return figures


def _drained(stage: Stage, plan: Plan, setting: str) -> float:
    """Drain a full queue; return jobs/s from the first job's start to the last job's end.

    The first and the last jobs make a file instead of running `true`: the kernel's time stamps
    on these bound the drain, and nothing looks at the workers meanwhile.
    """
    if setting:
        key, _, value = setting.partition("=")
        stage.run("config", "set", key, value)
    first = [stage.home / f"first{n}" for n in range(_MARKED)]
    last = [stage.home / f"last{n}" for n in range(_MARKED)]
    commands = ["true"] * plan.jobs
    commands[:_MARKED] = [f": > {shlex.quote(str(mark))}" for mark in first]
    commands[-_MARKED:] = [f": > {shlex.quote(str(mark))}" for mark in last]
    stage.enqueue((f"job-{n}", command) for n, command in enumerate(commands))
    stage.work_until(lambda: all(mark.exists() for mark in last), "the last job")
    completed = stage.counts()["completed"]
    if completed != plan.jobs:
        raise BenchError(f"{completed} of {plan.jobs} jobs are completed")
    begun = min(mark.stat().st_mtime for mark in first)
    return plan.jobs / (max(mark.stat().st_mtime for mark in last) - begun)


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
    shares: dict[str, list[float]] = {"short": [], "long": []}
    for _ in range(plan.rounds):
        with Stage(plan.program) as short:
            short.enqueue(_with_marks(short.home, 2 * plan.jobs, plan.jobs))
            before = xargs_rate(short, plan.jobs)
            plain = _next_block(short, plan.jobs)
            between = xargs_rate(short, plan.jobs)
            loaded = _next_block(long, plan.jobs)
            after = xargs_rate(short, plan.jobs)
        shares["short"].append(200 * plain / (before + between))
        shares["long"].append(200 * loaded / (between + after))
    of_plain = [100 * a / b for a, b in zip(shares["long"], shares["short"], strict=True)]
    what = f"drain with {plan.backlog:,} queued"
    return [
        Figure("backlog", what, "% of that with few", of_plain, Target(90, is_least=True)),
        Figure("backlog-share", what, "% of xargs", shares["long"]),
        Figure("plain-share", f"drain with {2 * plan.jobs:,} queued", "% of xargs",
               shares["short"]),
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
