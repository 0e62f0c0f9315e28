"""What a run may use: its memory and processors, which the system holds it to.

A run with limits has a cgroup of its own, apart from that of its worker, which the command enters
before its program is there. With the kind `address-space` its memory is limited by RLIMIT_AS of
setrlimit(2), for each process and for all that it reserves, so that no cgroup is needed for that.
Both are done by a shell that becomes the command: posix_spawn can do neither, and to limit this
process for a moment would be felt by its other threads.
"""

from __future__ import annotations

from queuectl.domain.job import COULD_NOT_START
from queuectl.domain.job_fields import ADDRESS_SPACE
from queuectl.domain.sizes import KIB, size_text
from queuectl.system import cgroups
from queuectl.system.cgroups import Cgroup, NotDelegated
from queuectl.worker.runs.outcome import Run
from queuectl.worker.runs.programs import SHELL, CannotStartHere, Start
from queuectl.worker.runs.usage import Used

_CANNOT_RUN = 126
_INSTEAD = "or use --memory-kind address-space"


class Limits:
    """The limits of the runs of one worker."""

    def __init__(self) -> None:
        self._left: list[Cgroup] = []
        cgroups.sweep()

    def of(self, run: Run) -> LimitedRun:
        """Return what holds a run that is to be started to its limits.

        Raises CannotStartHere, as another host may do so.
        """
        is_reserved = run.memory_kind == ADDRESS_SPACE
        memory = 0 if is_reserved else run.memory
        wanted = [*([cgroups.MEMORY] if memory else []), *([cgroups.CPU] if run.cpus else [])]
        cgroup = None
        if wanted:
            try:
                cgroup = cgroups.make_cgroup(run.id, wanted)
            except NotDelegated as fault:
                instead = f"; {_INSTEAD}" if memory and not run.cpus else ""
                raise CannotStartHere(f"{_refusal(run)}: {fault}{instead}") from None
            try:
                cgroup.limit(memory, run.cpus)
            except OSError as fault:
                cgroup.remove()
                raise CannotStartHere(f"{_refusal(run)}: {fault.strerror}") from None
        return LimitedRun(cgroup, memory, run.memory if is_reserved else 0)

    def remove(self, limited: LimitedRun) -> None:
        """Remove the cgroup of a run that has ended, and those in which something still lived."""
        if limited.cgroup is not None:
            self._left.append(limited.cgroup)
        self._left = [cgroup for cgroup in self._left if not cgroup.remove()]

    def close(self) -> None:
        """Remove the cgroups that are left, as far as nothing lives in them."""
        self._left = [cgroup for cgroup in self._left if not cgroup.remove()]


def _refusal(run: Run) -> str:
    """Return how the error begins of a run whose limits cannot be held."""
    limits = [name for name, is_set in (("--memory", run.memory), ("--cpus", run.cpus)) if is_set]
    return f"{COULD_NOT_START}: {' and '.join(limits)} cannot be held here"


class LimitedRun:
    """One run that is held to its limits, in bytes: of its cgroup, or of each address space."""

    def __init__(self, cgroup: Cgroup | None, memory: int, address_space: int) -> None:
        self.cgroup = cgroup
        self._memory = memory
        self._address_space = address_space

    def starting(self, start: Start) -> Start:
        """Return what to start in place of a program: a shell that becomes it within the limits."""
        steps = []
        if self.cgroup is not None:
            steps.append(f'echo $$ >"$0" || exit {_CANNOT_RUN}')
        if self._address_space:
            steps.append(f"ulimit -v {self._address_space // KIB} || exit {_CANNOT_RUN}")
        name = self.cgroup.procs if self.cgroup else "sh"
        script = "; ".join([*steps, 'exec "$@"'])
        return Start(SHELL, ["sh", "-c", script, name, start.program, *start.argv[1:]])

    def used(self, seen: Used) -> Used:
        """Return what the run has used, of which wait4 and looking at it have told so much.

        Its cgroup has counted what nobody waited for too, and the files that were kept for it.
        """
        if self.cgroup is None:
            return seen
        error = None
        if self._memory and self.cgroup.was_out_of_memory():
            error = f"out of memory ({size_text(self._memory)})"
        peak = self.cgroup.peak()
        cpu = max(seen.cpu_seconds or 0.0, self.cgroup.cpu_seconds())
        return Used(cpu, seen.memory if peak is None else peak, error)
