"""When a claimed job may start: below a load, within hours, once its preflight has ended with 0.

What does not let it start puts it back, to be asked again later; no attempt is spent.
"""

from __future__ import annotations

import os
import random
from datetime import datetime

from queuectl.domain.errors import InvalidInput
from queuectl.domain.job import Job, Outcome

_MOST_DOUBLINGS = 6
_LONGEST_WAIT = 60.0
_LEAST_WAIT = 1.0
"""The store's clock and that of this process may differ by a moment."""

_LONGEST_LINE = 200
"""How much of what a preflight wrote is told."""


class StartRules:
    """What one worker asks before it starts a job; `pause` is the first wait, in seconds.

    `asked_again` are the jobs that it has put back to be asked again, and may have run since.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self.asked_again: set[str] = set()

    def held_up(self, job: Job, now: datetime) -> Outcome | None:
        """Return how a job is put back that may not start now; None for one that may."""
        spec = job.spec
        if spec.between is not None:
            from queuectl.system.hours import next_opening  # few jobs name any

            try:
                opening = next_opening(spec.between, now)
            except InvalidInput as fault:
                return Outcome(error=str(fault))
            if opening > now:
                wait = max(_LEAST_WAIT, (opening - now).total_seconds())
                return Outcome(error=f"for its hours, {spec.between}", postponed=wait)
        if spec.load_below:
            load = os.getloadavg()[0]
            if load >= spec.load_below:
                return self.again(job, f"load {load:.1f}, to be below {spec.load_below:g}")
        return None

    def again(self, job: Job, why: str) -> Outcome:
        """Return how a job is put back that is asked again, each time later, up to a minute.

        A quarter of the wait is left to chance, so that many do not come back together.
        """
        self.asked_again.add(job.id)
        wait = min(self._pause * 2 ** min(job.put_backs, _MOST_DOUBLINGS), _LONGEST_WAIT)
        return Outcome(error=why, postponed=wait * random.uniform(0.75, 1.0))

    def after_preflight(self, job: Job, outcome: Outcome) -> Outcome | None:
        """Return how a job is put back whose preflight has ended; None where it may start."""
        if outcome.succeeded:
            return None
        lines = [line for line in (outcome.stderr or outcome.stdout).splitlines() if line.strip()]
        said = f": {lines[-1].strip()[:_LONGEST_LINE]}" if lines else ""
        error = (outcome.error or "").replace("Job exceeded", "it exceeded")
        return self.again(job, f"preflight, {error[:1].lower()}{error[1:]}{said}")
