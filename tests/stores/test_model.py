"""Random operations on a plain dictionary of jobs and on a store: both must always agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from secrets import token_hex

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from queuectl.domain import state_machine
from queuectl.domain.job import SETTLED, WAITING, Claim, Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.query import Filter
from queuectl.domain.state_machine import Fence, Transition
from queuectl.domain.times import later
from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.stores.exchange import Renewal
from tests.stores.kit import EVERYTHING, FAILURE, INTERRUPTED, SUCCESS, renewal, request

IDS = ("job1", "job2", "job10", "$job")
OUTCOMES = (
    SUCCESS, FAILURE, INTERRUPTED, replace(FAILURE, exit_code=None, signal=9),
    Outcome(error="load 12.3, to be below 8", postponed=0.001),
    Outcome(error="Command not found", unfit_host="$host"),
    Outcome(error="Command not found", unfit_host="host2", is_final=True),
)  # fmt: skip
SPECS = st.builds(
    Spec,
    id=st.sampled_from(IDS),
    command=st.sampled_from(["true", "$x", ("a", "$b.c")]),
    queue=st.sampled_from(["a", "b"]),
    priority=st.integers(-1, 1),
    max_retries=st.integers(1, 3),
    backoff_base=st.sampled_from([0.0, 1000.0]),
)
DELAYS = st.sampled_from([-3600.0, 0.0, 0.0, 3600.0])
_numbers = count(1)


def fits(change: Transition, current: Job | None) -> bool:
    """Whether a transition's fence holds for a job as it is now."""
    before = change.before
    if current is None or current.seq != before.seq:
        return False
    if change.fence is Fence.REV:
        return current.rev == before.rev
    if current.claim is None or before.claim is None or current.claim.id != before.claim.id:
        return False
    is_same = current.cancel_requested == before.cancel_requested
    return is_same and (change.fence is Fence.CLAIM or current.claim == before.claim)


class Comparison(RuleBasedStateMachine):
    """A store beside its model. Subclasses say how an empty store is opened."""

    fresh: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).fresh()
        self.jobs: dict[str, Job] = {}
        self.old_changes: list[Transition] = []

    def teardown(self) -> None:
        self.store.close()

    def _some(self, data: st.DataObject, *states: State) -> Job | None:
        fitting = [job for job in self.jobs.values() if job.state in states]
        return data.draw(st.sampled_from(fitting)) if fitting else None

    def _commit(self, change: Transition) -> None:
        """Commit to both; one that does not fit may only be recognised as applied before."""
        current = self.jobs.get(change.before.id)
        is_applied = fits(change, current)
        is_known = bool(current and change.run and change.run in current.history)
        assert self.store.commit(change) == is_applied or is_known
        if change not in self.old_changes:
            self.old_changes.append(change)
        if not is_applied or current is None:
            return
        if change.after is None:
            del self.jobs[current.id]
        elif change.event == "request_cancel":
            marked = replace(current, cancel_requested=True, updated_at=change.after.updated_at)
            self.jobs[current.id] = marked
        else:
            self.jobs[current.id] = change.after

    @rule(specs=st.lists(SPECS, min_size=1, max_size=3), delay=DELAYS, atomic=st.booleans())
    def enqueue(self, specs: list[Spec], delay: float, atomic: bool) -> None:
        now = self.store.now()
        due = now + timedelta(seconds=delay)
        added = [state_machine.enqueue(spec, due, now) for spec in specs]
        first = {job.id: job for job in reversed(added)}
        doubles = {job.id for job in added if first[job.id] is not job}
        refused = doubles | (first.keys() & self.jobs.keys())
        assert self.store.insert(added, atomic=atomic) == refused
        if atomic and refused:
            return
        for job in first.values():
            if job.id not in self.jobs:
                stored = self.store.get(job.id)
                assert stored is not None
                self.jobs[job.id] = replace(job, seq=stored.seq)

    @rule(
        queue=st.sampled_from(["", "a", "b"]),
        lease=st.sampled_from([1.0, 60.0]),
        kind=st.sampled_from(["alone", "beside others", "suspects"]),
    )
    def claim(self, queue: str, lease: float, kind: str) -> None:
        alone = kind != "beside others"
        self.store.make_due_claimable()
        now = self.store.now()
        ready = [
            job
            for job in self.jobs.values()
            if job.is_ready(now)
            and queue in ("", job.spec.queue)
            and not (job.suspect and kind == "beside others")
            and (job.suspect or kind != "suspects")
        ]
        worker = f"w{next(_numbers)}"
        named, asked = [queue] if queue else [], {"alone": alone, "suspects": kind == "suspects"}
        assert (
            bool(self.store.ready_suspects(tuple(named), 9)) == any(job.suspect for job in ready)
            or kind == "beside others"
        )
        wanted = request(*named, lease=lease, worker=worker, **asked)
        taken = self.store.claim(wanted)
        if not ready:
            assert taken is None
            return
        top = max(job.spec.priority for job in ready)
        heads: dict[str, Job] = {}
        for job in sorted(ready, key=lambda job: (job.run_at, job.seq)):
            if job.spec.priority == top:
                heads.setdefault(job.spec.queue, job)
        assert taken is not None
        assert taken.id in {job.id for job in heads.values()}
        assert taken.started_at is not None
        right = Claim(wanted.claim_id, worker, later(taken.started_at, lease), alone)
        after = state_machine.claim(self.jobs[taken.id], right, taken.started_at).after
        assert after is not None
        self.jobs[taken.id] = after

    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def settle(self, data: st.DataObject, outcome: Outcome) -> None:
        if job := self._some(data, State.PROCESSING):
            self._commit(state_machine.finish(job, outcome, self.store.now()))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if job := self._some(data, State.PROCESSING):
            self._commit(state_machine.release(job, self.store.now()))

    @rule(data=st.data(), most=st.integers(1, 3))
    def expire(self, data: st.DataObject, most: int) -> None:
        if job := self._some(data, State.PROCESSING):
            self._commit(state_machine.expire(job, self.store.now(), most))

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        job = self._some(data, State.PROCESSING)
        if job is None or job.claim is None:
            return
        is_cancelled = job.cancel_requested
        expected = Renewal.CANCEL_REQUESTED if is_cancelled else Renewal.HELD
        assert renewal(self.store, job.id, job.claim.id, 90) is expected
        renewed = self.store.get(job.id)
        assert renewed is not None
        assert renewed.claim is not None
        assert renewed.claim.lease_until > job.claim.lease_until
        self.jobs[job.id] = replace(job, claim=renewed.claim)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if job := self._some(data, State.PROCESSING, *WAITING):
            self._commit(state_machine.cancel(job, self.store.now()))

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        if job := self._some(data, State.FAILED, *SETTLED):
            self._commit(state_machine.retry(job, self.store.now()))

    @rule(data=st.data(), spec=SPECS, delay=DELAYS)
    def replace_job(self, data: st.DataObject, spec: Spec, delay: float) -> None:
        if job := self._some(data, *WAITING, *SETTLED):
            now = self.store.now()
            due = now + timedelta(seconds=delay)
            self._commit(state_machine.replace_job(job, replace(spec, id=job.id), due, now))

    @rule(data=st.data(), spec=SPECS, delay=DELAYS)
    def edit(self, data: st.DataObject, spec: Spec, delay: float) -> None:
        if job := self._some(data, *WAITING):
            now = self.store.now()
            wanted = replace(spec, id=job.id, max_retries=9)
            self._commit(state_machine.edit(job, wanted, now + timedelta(seconds=delay), now))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if job := self._some(data, *WAITING, *SETTLED):
            self._commit(state_machine.delete(job))

    @precondition(lambda self: self.old_changes)
    @rule(data=st.data())
    def commit_late(self, data: st.DataObject) -> None:
        self._commit(data.draw(st.sampled_from(self.old_changes)))

    @rule()
    def repair(self) -> None:
        assert self.store.repair() == 0

    @invariant()
    def store_and_model_agree(self) -> None:
        expected = sorted(self.jobs.values(), key=lambda job: job.seq)
        assert list(self.store.find(Filter(), EVERYTHING)) == expected
        counts = self.store.counts()
        for state in State:
            assert counts.of(state) == sum(job.state is state for job in expected)


@pytest.mark.timeout(100)
def test_store_and_state_machine_agree(store_url: str) -> None:
    base, _, options = store_url.partition("?")

    class Compared(Comparison):
        @staticmethod
        def fresh() -> Store:
            return open_store(f"{base}{token_hex(4)}" + (f"?{options}" if options else ""))

    is_embedded = "://" not in store_url
    chosen = settings(
        max_examples=20 if is_embedded else 4,
        stateful_step_count=30,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Compared, settings=chosen)
