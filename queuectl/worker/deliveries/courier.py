"""The courier: makes the deliveries of hooks, some at once, beside the workers and their jobs.

A supervisor forks one when its workers have seen that there are deliveries, and it leaves when
there have been none for a while. A home has one at a time. It claims, renews and settles
deliveries as a worker does jobs; what goes out does so from its `postroom`. At most so many of a
hook run at once as the limit of its queue says, so that one whose receiver hangs leaves room.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from queuectl.domain import settings as tunables
from queuectl.domain import state_machine
from queuectl.domain.errors import Conflict, InvalidInput, StoreRefused, StoreUnavailable
from queuectl.domain.hook_messages import Facts
from queuectl.domain.hooks import (
    DELIVERY_TIMEOUT,
    DIGEST,
    REFUSED_FOR_GOOD,
    Hook,
    Target,
    hook_of,
)
from queuectl.domain.job import Job, Outcome
from queuectl.domain.request import require_allowed
from queuectl.maintenance.rescuer import courier_id, take_deliveries_back
from queuectl.queue import digests, hook_deliveries
from queuectl.stores import reopen_store
from queuectl.stores.base import Store
from queuectl.stores.exchange import ClaimRequest, HeldClaim, Renewal
from queuectl.stores.rules import commit_reduced, require_in_use
from queuectl.system.home import Location
from queuectl.system.ids import new_token
from queuectl.system.polling import Pace, wait_readable
from queuectl.system.processes import boot_clock
from queuectl.worker.deliveries.senders import Limits, Postroom, PostroomGone
from queuectl.worker.deliveries.slow_hooks import Sluggish
from queuectl.worker.options import WorkerOptions
from queuectl.worker.signals import Control

log = logging.getLogger("queuectl.worker")

MOST_AT_ONCE = 16
"""So many deliveries a home makes at once, of all hooks together."""

LINGER_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_AWAY_SECONDS = 1.0
_SETTINGS_SECONDS = 5.0
_RENEW_SECONDS = 2.0
_NICENESS = 10
"""Jobs go first where the processors are short."""

T = TypeVar("T")


@dataclass(slots=True)
class _Held:
    """A delivery that goes out, when its claim is renewed next and until when it is ours; its end.

    `begun` is by the monotonic clock, the others by `boot_clock`; `is_given_back` says that it
    was stopped for a reason that is not its own. `told` are the deliveries that a digest stands
    for.
    """

    job: Job
    begun: float
    renew_at: float
    until: float
    outcome: Outcome | None = None
    is_given_back: bool = False
    told: tuple[Hook, Sequence[Job]] | None = None


def _renewed(asked_at: float, lease: float) -> tuple[float, float]:
    """Return when to renew a lease next that was asked for then, and when to let go of it."""
    return asked_at + min(_RENEW_SECONDS, lease / 4), asked_at + lease - min(2.0, lease / 5)


class Courier:
    """One courier, in the process that shall be it. `lock` is that of `courier_lock`.

    It leaves when `supervisor`, its parent, has gone; where workers drain as soon as there is
    nothing to deliver, and then it makes no second attempt at anything: that is left to others.
    """

    def __init__(self, place: Location, lock: int, supervisor: int, options: WorkerOptions) -> None:
        os.nice(_NICENESS)
        self._room = Postroom(lock)
        self._control = Control()
        self._control.install()
        self._drain = options.drain
        self._supervisor = supervisor
        self._store: Store = reopen_store(place.store_url)
        self._store.patience = options.timings.lock
        require_in_use(self._store)
        self._home = place.home
        self._id = courier_id(place.home)
        self._settings = tunables.from_stored(self._store.settings.all())
        self._settings_pace = Pace(_SETTINGS_SECONDS)
        self._promote_pace = Pace(_LOOK_SECONDS)
        self._held: dict[str, _Held] = {}
        self._sluggish = Sluggish(MOST_AT_ONCE // 2)
        self._asked: ClaimRequest | None = None
        self._busy_at = time.monotonic()
        self._is_away = False

    def run(self) -> None:
        """Deliver until it is told to leave, or there is nothing to do."""
        log.info("delivering what hooks are told")
        # the claims of the courier before this one, whose postroom may have died with it
        limit = self._settings.max_interruptions
        self._insist(partial(take_deliveries_back, self._home, self._store, limit))
        try:
            while self._insist(self._step) is not False and not self._must_go():
                pause = _AWAY_SECONDS if self._is_away else _LOOK_SECONDS
                wait_readable([self._control.wake, self._room.fileno()], pause)
                self._control.settle_down()
        except PostroomGone:
            log.warning("the postroom has died; what it was delivering will be delivered again")
        finally:
            self._room.close()
            self._store.close()

    def _insist(self, ask: Callable[[], T]) -> T | None:
        """Do something; None: the store is away, and it is to be done again."""
        try:
            answer = ask()
        except StoreUnavailable as fault:
            if not self._is_away:
                log.warning("%s; trying again", fault)
            self._is_away = True
            return None
        if self._is_away:
            log.info("the store answers again")
        self._is_away = False
        return answer

    def _must_go(self) -> bool:
        """Whether it is to leave though the store is away, which then ends the leases itself."""
        is_idle = not self._held or self._control.stop_level > 1
        return self._is_away and self._control.is_stopping and is_idle

    def _step(self) -> bool:
        """Do what there is to do now; return whether to go on."""
        if os.getppid() != self._supervisor or not self._store.is_same_file():
            self._control.request_stop()
        for run_id, outcome in self._room.endings().items():
            if run_id in self._held:
                self._held[run_id].outcome = outcome
        self._settle()
        if self._settings_pace.is_due:
            with self._settings_pace.look():
                self._heed()
        self._renew()
        if self._control.halt(""):
            for run_id, held in self._held.items():
                if not held.is_given_back and held.outcome is None:
                    held.is_given_back = True
                    self._room.end(run_id)
        if self._control.is_stopping:
            return bool(self._held)
        self._fill()
        if self._held:
            self._busy_at = time.monotonic()
            return True
        return not self._drain and time.monotonic() - self._busy_at < LINGER_SECONDS

    def _heed(self) -> None:
        """Read the settings, by which a hook's command is allowed or not."""
        self._settings = tunables.from_stored(self._store.settings.all())
        self._control.set_stop_grace(self._settings.stop_grace_seconds)

    # claiming

    def _fill(self) -> None:
        """Claim and begin deliveries while there are some and there is room."""
        if self._promote_pace.is_due:
            with self._promote_pace.look():
                self._store.make_due_claimable()
        if self._asked is None and not self._store.has_ready_deliveries(untried=self._drain):
            return
        self._heed()
        hooks = {hook.name: hook for hook in self._store.hooks.all()}
        while len(self._held) < MOST_AT_ONCE and (job := self._claim(hooks)) is not None:
            self._begin(job, hooks)

    def _claim(self, hooks: Collection[str]) -> Job | None:
        lease = self._settings.lease_seconds
        going = ((hook_of(held.job.id) or "", held.begun) for held in self._held.values())
        queues = self._sluggish.claimable(going, hooks)
        if self._asked is None and queues is None:
            return None
        request = self._asked or ClaimRequest(
            new_token(), self._id, lease, queues or (), deliveries=True, untried=self._drain
        )
        asked_at = boot_clock()
        self._asked = replace(request, repeated=True)  # until there is an answer
        job = self._store.claim(request)
        self._asked = None
        if job is None or job.claim is None:
            return None
        if request.repeated:  # it may have been claimed long before the answer came
            lease = (job.claim.lease_until - self._store.now()).total_seconds()
        self._held[job.claim.id] = _Held(job, time.monotonic(), *_renewed(asked_at, lease))
        return job

    def _begin(self, job: Job, hooks: dict[str, Hook]) -> None:
        assert job.claim is not None
        hook = hooks.get(hook_of(job.id) or "")
        try:
            if hook is None:
                raise InvalidInput(f"there is no hook '{hook_of(job.id)}' any more")
            if hook.target is Target.COMMAND:
                if self._home.requires_signed():
                    raise InvalidInput("commands of hooks are not signed, as this host requires")
                require_allowed(hook.address, self._settings)
            facts = hook_deliveries.facts_of(job)
            told = self._gathered(job, hook, facts) if facts.get("event") == DIGEST else facts
        except (InvalidInput, ValueError) as fault:
            said = f"hook '{hook_of(job.id)}': {fault}"
            refused = Outcome(exit_code=REFUSED_FOR_GOOD, stderr=said)
            self._held[job.claim.id].outcome = refused
            self._settle()
            return
        if told is None:
            self._held[job.claim.id].outcome = Outcome(
                exit_code=0, stdout="nothing is left to tell"
            )
            self._settle()
            return
        limits = Limits(job.spec.timeout or DELIVERY_TIMEOUT, self._held[job.claim.id].until)
        self._room.begin(job.claim.id, hook, told, job.id, limits)

    def _gathered(self, job: Job, hook: Hook, facts: Facts) -> Facts | None:
        """Return what a digest tells; None: another one has told it all."""
        held = self._held[job.claim_id]
        try:
            whole, members = digests.gathered(self._store, hook.name, facts)
        except (StoreUnavailable, StoreRefused):
            held.outcome, held.is_given_back = Outcome(), True
            raise
        held.told = (hook, members)
        return whole

    # holding

    def _renew(self) -> None:
        """Renew the claims whose turn it is, and end what is not ours any more or cancelled."""
        lease, asked_at = self._settings.lease_seconds, boot_clock()
        due = [
            HeldClaim(held.job.id, run_id)
            for run_id, held in self._held.items()
            if held.outcome is None and held.renew_at <= asked_at
        ]
        for claim, renewal in zip(due, self._store.renew(due, lease), strict=True):
            run_id, held = claim.claim_id, self._held[claim.claim_id]
            if renewal in (Renewal.LOST, Renewal.CANCEL_REQUESTED):
                self._room.end(run_id)
            if renewal is Renewal.LOST:
                del self._held[run_id]
                continue
            held.renew_at, held.until = _renewed(asked_at, lease)
            self._room.extend(run_id, held.until)

    # settling

    def _settle(self) -> None:
        """Commit the ends that there are; one that the store refuses is said and let go."""
        for run_id, held in list(self._held.items()):
            if held.outcome is None:
                continue
            outcome = hook_deliveries.delivery_outcome(held.outcome)
            self._sluggish.note(hook_of(held.job.id) or "", outcome)
            if held.told and outcome.succeeded:  # before that is noted, so that none is told twice
                digests.forget(self._store, *held.told)
            if held.is_given_back:
                outcome = replace(outcome, interrupted=True, error=None)
            try:
                self._commit(held.job, outcome)
            except (Conflict, StoreRefused) as fault:
                log.error("delivery '%s': its result cannot be stored: %s", held.job.id, fault)
            del self._held[run_id]

    def _commit(self, job: Job, outcome: Outcome) -> None:
        """Commit the end of a delivery; decided again if it was asked to be cancelled meanwhile."""
        while job.claim is not None:
            change = state_machine.finish(job, outcome, self._store.now())
            try:
                is_committed = self._store.commit(change)
            except StoreRefused as fault:
                change, is_committed = commit_reduced(self._store.commit, change, fault)
            if is_committed:
                if change.after is not None and not outcome.succeeded:
                    after = change.after
                    log.info("delivery '%s' -> %s (%s)", after.id, after.state, outcome.error)
                return
            fresh = self._store.get(job.id)
            if fresh is None or not fresh.is_claimed_by(job.claim.id):
                log.warning("delivery '%s': the claim was lost, its result is discarded", job.id)
                return
            job = fresh
