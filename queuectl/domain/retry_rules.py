"""Which ends of a run are tried again, as the fields `retry_on` and `no_retry_on` of a job say.

A shell reports that its command was killed by signal N as the exit code 128 + N, and which of the
two a run ends with depends on the shell. So both mean the same here: `137` and `signal:9`.
"""

from __future__ import annotations

from queuectl.domain.job import Job, Outcome, State
from queuectl.domain.job_fields import Spec
from queuectl.domain.run_ends import OUT_OF_MEMORY, SIGNAL, TIMEOUT

_BY_SIGNAL = 128
"""What shells add to the number of the signal that killed their command."""

_MEMORY = "out of memory"
"""How the error of a run begins that was ended because it needed too much memory."""


def refusal(spec: Spec, outcome: Outcome) -> str | None:
    """Return why a run that did not succeed is not tried again whatever attempts are left.

    None where the rules of its job let it be. What both rules name is not tried again.
    """
    if any(_fits(end, outcome) for end in spec.no_retry_on):
        return f"{_said(outcome)} is not tried again (no_retry_on)"
    if spec.retry_on and not any(_fits(end, outcome) for end in spec.retry_on):
        return f"{_said(outcome)} is not tried again (retry_on {', '.join(spec.retry_on)})"
    return None


def verdict(job: Job) -> str | None:
    """Return which rule of its own has buried a dead job; None where none has."""
    spec = job.spec
    if not (spec.retry_on or spec.no_retry_on) or job.state is not State.DEAD:
        return None
    has_ended = job.outcome is not None and not job.outcome.succeeded and job.attempts
    return refusal(spec, job.outcome) if job.outcome and has_ended else None


def _fits(end: str, outcome: Outcome) -> bool:
    if outcome.timed_out:
        return end == TIMEOUT
    if end == OUT_OF_MEMORY:
        return _is_out_of_memory(outcome)
    code = outcome.exit_code
    if code is None:
        code = _BY_SIGNAL + outcome.signal if outcome.signal else None
    if end.startswith(SIGNAL):
        return code == _BY_SIGNAL + int(end.removeprefix(SIGNAL))
    if end == TIMEOUT or code is None:
        return False
    first, _, last = end.partition("-")
    return int(first) <= code <= int(last or first)


def _is_out_of_memory(outcome: Outcome) -> bool:
    return (outcome.error or "").lower().startswith(_MEMORY)


def _said(outcome: Outcome) -> str:
    """Return how a run has ended, in the words of the rules."""
    if outcome.timed_out:
        return "a time-out"
    if _is_out_of_memory(outcome):
        return "a run out of memory"
    if outcome.signal:
        return f"signal {outcome.signal}"
    if outcome.exit_code is not None:
        return f"exit code {outcome.exit_code}"
    return "a run without an exit code"
