"""What becomes of a run whose end the store refuses for good, as one too large for it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from queuectl.domain.errors import StoreRefused
from queuectl.domain.state_machine import Transition, reduced_forms

log = logging.getLogger("queuectl.worker")


def commit_reduced(
    commit: Callable[[Transition], bool], change: Transition, fault: StoreRefused
) -> tuple[Transition, bool]:
    """Commit what can be of a refused change; return what was written, and whether it was.

    The change itself is tried once more: what was refused may have been the claim that went
    with it. Raises StoreRefused when nothing helps.
    """
    last = fault
    for form in (change, *reduced_forms(change, str(fault))):
        try:
            is_committed = commit(form)
        except StoreRefused as refusal:
            last = refusal
            continue
        if form is not change:
            log.error("job '%s': its result is stored only in part: %s", change.before.id, fault)
        return form, is_committed
    raise last
