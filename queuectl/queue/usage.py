"""What runs of a command have used before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.domain.frozen import replace
from queuectl.domain.job import State
from queuectl.domain.query import Filter, Order, Page

if TYPE_CHECKING:
    from queuectl.domain.field_checks import Command
    from queuectl.domain.job_fields import Spec
    from queuectl.stores.base import Store

_MOST_JOBS, _MOST_RUNS = 1000, 20
"""Among how many jobs that completed last it is looked for, and how many runs are enough."""

_MEMORY = "memory"
_MIB = 2**20


class Usage:
    """What the jobs of a store that completed last have used, as they were when first asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._memory: dict[Command, list[int]] | None = None

    def memory(self, command: Command) -> int | None:
        """Return the most bytes that the last runs of a command used that succeeded.

        None where none is known. Those of the jobs that completed last are looked through.
        """
        if self._memory is None:
            self._memory = self._read()
        return max(self._memory.get(command, ()), default=None)

    def _read(self) -> dict[Command, list[int]]:
        chosen = Filter(states=frozenset({State.COMPLETED}))
        found: dict[Command, list[int]] = {}
        for job in self._store.find(chosen, Page(_MOST_JOBS, newest_first=True, order=Order.ENDED)):
            used = job.outcome.peak_memory if job.outcome else None
            sizes = found.setdefault(job.spec.command, [])
            if used is not None and len(sizes) < _MOST_RUNS:
                sizes.append(used)
        return found

    def with_usual_memory(self, spec: Spec) -> Spec:
        """Return a job that needs as much memory as its command used before, in whole MiB.

        One that says itself how much it needs, or whose command is new, is returned as it is.
        """
        if any(name == _MEMORY for name, _ in spec.needs):
            return spec
        used = self.memory(spec.command)
        if used is None:
            return spec
        need = _MEMORY, f"{max(1, -(-used // _MIB))}M"
        return replace(spec, needs=tuple(sorted([*spec.needs, need])))
