"""How soon something is ready: a worker for its first job, the shell for what is typed."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shlex
import subprocess
import time

from figures import Figure, Target
from processes import PATIENCE_SECONDS, BenchError, wait_until
from stage import Plan, Stage, Workers
from throughput import seconds_of

_SHELL_JOBS_FOR_A_JOB = 50
_CTRL_D = b"\x04"
_PROMPT, _EDITOR = b"queuectl >", b"\x1b[?2004h"
"""What the shell writes first of its prompt, and when its editor takes the terminal over."""


def starts(plan: Plan) -> list[Figure]:
    """Measure a worker's start to its first claim, and the shell's to its prompt."""
    first = "call of worker start to the first claim"
    figures = [Figure("start-claim", first, "ms", [_first_claim_ms(plan)], Target(150))]
    for jobs in (0, _SHELL_JOBS_FOR_A_JOB * plan.jobs):
        shown, ready = _prompt_ms(plan, jobs)
        what = f"shell with {jobs:,} jobs" if jobs else "shell without jobs"
        key = "shell-full" if jobs else "shell"
        figures.append(Figure(key, f"{what}: prompt ready", "ms", [ready], Target(150)))
        figures.append(Figure(f"{key}-shown", "the same: prompt shown", "ms", [shown]))
    return figures


def _first_claim_ms(plan: Plan) -> float:
    """Start a worker while a job is queued; return the ms until it has claimed it."""
    with Stage(plan.program) as stage:
        mark = stage.home / "mark"
        stage.enqueue([("first", f": > {shlex.quote(str(mark))}")])
        called = time.time()
        stage.start_workers(Workers(1))
        wait_until(mark.exists, "the first job")
        stage.stop_workers()
        return 1000 * (seconds_of(str(stage.job("first")["started_at"])) - called)


def _prompt_ms(plan: Plan, jobs: int) -> tuple[float, float]:
    """Open the shell; return the ms until its prompt is shown, and until its editor has it."""
    with Stage(plan.program) as stage:
        stage.run("init")
        if jobs:
            stage.enqueue((f"job-{n}", "true") for n in range(jobs))
        _open_shell(stage)  # only warms up
        return _open_shell(stage)


def _open_shell(stage: Stage) -> tuple[float, float]:
    terminal, its_side = pty.openpty()
    begun = time.perf_counter()
    shell = subprocess.Popen(
        stage.command("shell"), stdin=its_side, stdout=its_side, stderr=its_side,
        env={**stage.environment, "TERM": "xterm-256color"}, cwd=stage.home,
    )  # fmt: skip
    os.close(its_side)
    written, times = b"", []
    for text in (_PROMPT, _EDITOR):
        while text not in written:
            more = _read(terminal)
            if not more:
                raise BenchError(f"the shell has ended: exit {shell.wait()}")
            written += more
        times.append(1000 * (time.perf_counter() - begun))
    os.write(terminal, _CTRL_D)
    while _read(terminal):
        pass
    os.close(terminal)
    shell.wait()
    return times[0], times[1]


def _read(terminal: int) -> bytes:
    """Return what is written next on a terminal; nothing when all who write there have ended."""
    if not select.select([terminal], [], [], PATIENCE_SECONDS)[0]:
        raise BenchError(f"the shell: nothing after {PATIENCE_SECONDS:.0f} s")
    with contextlib.suppress(OSError):  # Linux has an error for the end
        return os.read(terminal, 65536)
    return b""
