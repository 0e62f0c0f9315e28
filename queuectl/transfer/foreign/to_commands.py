"""Jobs that wait as plain commands, one a line, as far as a line can say them."""

from __future__ import annotations

from datetime import datetime

from queuectl.domain.dependencies import parents_in
from queuectl.domain.job import Job
from queuectl.transfer.foreign.shell_lines import NotALine, Written, line_of


def written(job: Job, now: datetime, *, masked: bool) -> Written:
    """Return a job as a line, or why it cannot be one."""
    spec = job.spec
    reasons = {
        "it is paused": job.paused,
        "it waits for other jobs": bool(parents_in(job.blocked_by)),
        "it is not due yet": not job.is_due(now) and job.attempts == 0,
        "it has a captured environment": spec.environment is not None,
        "it runs in a snapshot of a work tree": spec.snapshot is not None,
        "it starts by rules of its own": bool(spec.load_below or spec.between or spec.preflight),
        "it reads a text of its own": spec.input_text is not None,
    }
    for why, is_so in reasons.items():
        if is_so:
            return Written(job.id, why=why)
    try:
        line = line_of(
            spec.command, cwd=spec.cwd, env=dict(spec.env), timeout=spec.timeout, masked=masked
        )
    except NotALine as fault:
        return Written(job.id, why=str(fault))
    return Written(job.id, line)
