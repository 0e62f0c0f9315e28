"""The promises, looked at with each write to a job and each run that begins or ends.

What truly runs is told by the fleet, by the true clock; what the store believes by its writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from queuectl.domain.job import SETTLED, Job, State
from queuectl.domain.resources import parse_amount
from queuectl.domain.state_machine import Transition
from tests.simulation.database import Collection
from tests.simulation.documents import Document
from tests.simulation.world import World

_ENDED = {state.value for state in SETTLED}
_PROCESSING = State.PROCESSING.value


class Broken(AssertionError):
    """A promise was broken; the text says which, and when."""


@dataclass
class Checks:
    """What is promised of the jobs of a collection, and what was seen of them."""

    world: World
    jobs: Collection
    limits: Mapping[str, int] = field(default_factory=dict)
    capacities: Mapping[str, int] = field(default_factory=dict)
    completed: set[str] = field(default_factory=set)
    longest_wait: float = 0.0
    recovery: float = 0.0
    runs: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self._running: dict[str, tuple[str, str, Job]] = {}
        self._in_queue: Counter[str] = Counter()
        self._in_use: Counter[str] = Counter()
        self._orphaned: dict[str, float] = {}
        self.jobs.watch = self._wrote

    def _broken(self, what: str, job_id: str) -> Broken:
        return Broken(f"{what}: job '{job_id}', {self.world.now:.3f} s after the beginning")

    # what truly runs

    def began(self, job: Job, host: str) -> None:
        """A command is started."""
        if job.id in self._running:
            raise self._broken("two runs of one job at once", job.id)
        if job.id in self.completed:
            raise self._broken("a run of a job that is completed", job.id)
        self._running[job.id] = host, job.claim_id, job
        self._count(job, 1)
        self.runs += 1
        queue = job.spec.queue
        if (limit := self.limits.get(queue)) and self._in_queue[queue] > limit:
            raise self._broken(f"more at once than the limit of queue '{queue}'", job.id)
        for name, most in self.capacities.items():
            if self._in_use[name] > most:
                raise self._broken(f"more in use of '{name}' than there is", job.id)

    def stopped(self, job: Job) -> None:
        """A command has ended, or was ended."""
        del self._running[job.id]
        self._count(job, -1)

    def host_died(self, host: str) -> None:
        """All that ran on a host is gone."""
        for job_id, (where, _, job) in list(self._running.items()):
            if where == host:
                self.stopped(job)
                self._orphaned[job_id] = self.world.now

    def settled(self, change: Transition, *, is_applied: bool) -> None:
        """A worker has heard whether the end of its run was applied."""
        done = change.after is not None and change.after.state is State.COMPLETED
        if not (done and is_applied):
            return
        found = self.jobs.documents.get(change.before.id)
        if found is None or found["state"] != State.COMPLETED.value:
            raise self._broken("an end was acknowledged and is not there", change.before.id)

    def _count(self, job: Job, by: int) -> None:
        self._in_queue[job.spec.queue] += by * job.spec.slots
        for name, amount in job.spec.needs:
            if name in self.capacities:
                self._in_use[name] += by * parse_amount(name, amount)

    # what the store believes

    def _wrote(self, before: Document | None, after: Document | None) -> None:
        if before is None or after is None:
            if after is None and before is not None:
                raise self._broken("a job is lost", before["_id"])
            return
        old, new = before["state"], after["state"]
        job_id: str = after["_id"]
        if old == new:
            if old == _PROCESSING and before["claim_id"] != after["claim_id"]:
                raise self._broken("a claim took what another holds", job_id)
            return
        if old in _ENDED:
            raise self._broken(f"a job that is {old} became {new}", job_id)
        if new == _PROCESSING:
            self._claimed(before)
        elif old == _PROCESSING:
            self._let_go(job_id, before, after)
        elif new in _ENDED:
            raise self._broken(f"a job that waits became {new}", job_id)
        if new in _ENDED:
            self.ended += 1
            if new == State.COMPLETED.value:
                self.completed.add(job_id)

    def _claimed(self, before: Document) -> None:
        waited = (self.world.instant - before["run_at"]).total_seconds()
        self.longest_wait = max(self.longest_wait, waited)

    def _let_go(self, job_id: str, before: Document, after: Document) -> None:
        if job_id in self._orphaned:
            self.recovery = max(self.recovery, self.world.now - self._orphaned.pop(job_id))
        history: list[Document] = after.get("history") or []
        is_noted = len(history) > len(before.get("history") or ())
        if is_noted and history[-1]["claim_id"] != before["claim_id"]:
            raise self._broken("a run was settled whose claim was lost", job_id)
        runs = self._running.get(job_id)
        if runs and runs[1] == before["claim_id"] and before["lease_until"] > self.world.instant:
            raise self._broken("a claim was taken back while its lease held", job_id)

    def at_the_end(self, jobs: int) -> None:
        """Look once more when all is over: every job is there, and has ended."""
        states = Counter(each["state"] for each in self.jobs.documents.values())
        if sum(states.values()) != jobs or set(states) - _ENDED:
            raise Broken(f"of {jobs} jobs not all have ended: {dict(states)}")
        if self._running:
            raise self._broken("a run goes on of a job that has ended", next(iter(self._running)))
