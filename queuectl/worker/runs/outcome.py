"""How a run has ended, in words; and what cannot be begun, as the one before it has not.

A run that was stopped, and whose processes are another user's so that they cannot be killed, ends
and says so; its job is not started again on this host while they live.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping

from queuectl.domain.field_checks import Command
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Outcome
from queuectl.domain.job_fields import CGROUP
from queuectl.domain.times import short_seconds
from queuectl.system.run_processes import members
from queuectl.worker.runs import programs
from queuectl.worker.runs.console import ConsoleWanted
from queuectl.worker.runs.output import RunFiles
from queuectl.worker.runs.results import take_result
from queuectl.worker.runs.usage import Reaped, Used
from queuectl.worker.signals import Halt

_TIMEOUT, _GIVEN_BACK = Halt.TIMEOUT, (Halt.RELEASE, Halt.LOST)
"""Looked up once: to look a member up in its class takes long on Python 3.11."""

_SAID = "its processes cannot be killed"
_AGAIN_SECONDS = 30.0


@frozen
class Run:
    """What to run and how long it may take; `deadline` is the lease's end by `boot_clock`.

    `console` says how people may talk to it; None: it has nothing to read. `input` is a file that
    it reads, `input_text` the content of one, and `result` the path at which it may leave one.
    `memory`, `cpus` and `memory_kind` are its limits, as in `Spec`. `prepares` names what a
    command is for that is run before the job's own; its end is not the job's, and nobody sees what
    it writes.
    """

    id: str
    command: Command
    environment: Mapping[bytes, bytes]
    cwd: str | None
    timeout: float
    kill_grace: float
    kill_leftovers: bool
    deadline: float
    console: ConsoleWanted | None = None
    input: str | None = None
    input_text: str | None = None
    result: str = ""
    memory: int = 0
    cpus: float = 0.0
    memory_kind: str = CGROUP
    prepares: str = ""

    @property
    def is_limited(self) -> bool:
        """Whether there is something to which the system has to hold it."""
        return bool(self.memory or self.cpus)


def outcome_of(
    end: Reaped | None,
    halt: Halt | None,
    left: list[int],
    run: Run,
    files: RunFiles,
    duration: float,
    used: Used,
) -> Outcome:
    """Return how a run ended, by its command's end, why it was stopped, and the pids that are left.

    The result that it has left is taken in.
    """
    code = None if end is None else os.waitstatus_to_exitcode(end.status)
    exit_code, number = (None, -code) if code is not None and code < 0 else (code, None)
    error = _error(exit_code, number, halt, run)
    if error and halt is None:
        error = used.error or error
    result, note = take_result(run.result)
    (stdout, stdout_cut), (stderr, stderr_cut) = files.tails()
    return Outcome(
        exit_code,
        number,
        halt is _TIMEOUT,
        f"{error or 'Stopped'}, {_SAID} ({_numbered(left)})" if left else error,
        round(duration, 6),
        stdout,
        stderr,
        stdout_cut,
        stderr_cut,
        halt in _GIVEN_BACK,
        cpu_seconds=used.cpu_seconds,
        peak_memory=used.memory,
        result=result,
        note=note,
    )


def _error(exit_code: int | None, number: int | None, halt: Halt | None, run: Run) -> str | None:
    """Return what to say of a run that did not succeed."""
    if halt is _TIMEOUT:
        return f"Job exceeded {short_seconds(run.timeout)} timeout"
    if halt is not None:
        return str(halt.value).capitalize()
    if number is not None:
        return f"Killed by signal {number} ({signal.strsignal(number)})"
    if not exit_code:
        return None
    why = programs.explained(exit_code, run.command, run.environment, run.cwd)
    return why or f"Exit code {exit_code}"


def postponed(job: Job, fetch: Callable[[str], Job | None]) -> Outcome | None:
    """Return how a job's run ends at once, as processes of an earlier one live on this host.

    `fetch` returns the job with its history, which few need. None: nothing is in its way.
    """
    if job.runs < 2 or _SAID not in (job.last_error or ""):
        return None
    known = fetch(job.id)
    for run in reversed(known.history if known else ()):
        if _SAID in (run.error or ""):
            left = members(run.claim_id, None)
            why = f"Not started: run {run.n} was stopped, {_SAID} ({_numbered(left)})"
            return Outcome(error=why, postponed=_AGAIN_SECONDS) if left else None
    return None


def _numbered(pids: Iterable[int]) -> str:
    return f"pid {', '.join(map(str, pids))}"
