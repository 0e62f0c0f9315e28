"""Runs that have ended and are not committed yet: as transitions, together or each alone."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from queuectl.domain import state_machine
from queuectl.domain.errors import NotFound, StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.job import Job, Outcome
from queuectl.domain.state_machine import Transition
from queuectl.stores.base import Store
from queuectl.stores.rules import commit_reduced
from queuectl.worker.heartbeat import Heartbeat
from queuectl.worker.logging import JobLog
from queuectl.worker.options import WorkerOptions

log = logging.getLogger("queuectl.worker")

_PROMPT = timedelta(seconds=1)

Ask = Callable[[Callable[[], Any]], Any]
"""How to ask a store: until it answers, or once."""


@frozen
class EndedRun:
    """A job whose run has ended, when, and how; no outcome: it was not begun."""

    job: Job
    outcome: Outcome | None
    at: datetime


class EndedRuns:
    """The ends of one worker's runs, from when they are noted until they are committed.

    `left` are those that are not committed.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        options: WorkerOptions,
        heartbeat: Heartbeat,
        job_log: JobLog,
    ) -> None:
        self._store = store
        self._worker = worker
        self._shows_output = options.show_output
        self._heartbeat = heartbeat
        self._log = job_log
        self.left: list[EndedRun] = []

    def add(self, ended: Sequence[EndedRun]) -> None:
        """Note further ends."""
        self.left += ended

    def changes(self, now: datetime) -> list[Transition]:
        """Return the ends of runs as transitions, each dated when it ended if that was just now.

        Who follows the changes looks back by seconds, so one that comes late is dated late.
        """
        return [
            state_machine.finish(
                each.job, each.outcome, each.at if now - each.at < _PROMPT else now
            )
            for each in self.left
        ]

    def note_committed(self, changes: Sequence[Transition], committed: Sequence[bool]) -> None:
        """Log the ends that were committed, and keep those that were not."""
        done = list(zip(self.left, changes, committed, strict=True))
        self.left = [each for each, _, is_committed in done if not is_committed]
        for each, _, is_committed in done:
            if is_committed:
                self._heartbeat.let_go(each.job.claim_id)
        self._log.log_each(
            [
                line
                for each, change, is_committed in done
                if is_committed
                for line in self._lines(each.job, change.after, each.outcome)
            ]
        )

    def commit_left(self, ask: Ask, now: datetime) -> None:
        """Commit alone, each for itself, what was not committed among others.

        Raises StoreUnavailable where that is not answered; what is left then stays noted.
        """
        while self.left:
            first = self.left[0]
            self._commit_alone(first.job, first.outcome, ask, now)
            self.left.pop(0)
            self._heartbeat.let_go(first.job.claim_id)

    def _commit_alone(self, job: Job, outcome: Outcome | None, ask: Ask, now: datetime) -> None:
        """Commit one end that was refused among others.

        It is looked into: asked to cancel meanwhile, it is decided again; else the claim was
        lost and the outcome is discarded.
        """

        def commit(change: Transition) -> bool:
            return bool(ask(partial(self._store.commit, change)))

        while True:
            change = state_machine.finish(job, outcome, now)
            try:
                try:
                    is_committed = commit(change)
                except StoreRefused as fault:
                    change, is_committed = commit_reduced(commit, change, fault)
            except StoreRefused as fault:
                self._give_up(job, fault, ask)
                return
            if is_committed:
                self._log.log_each(self._lines(job, change.after, outcome))
                return
            fresh = ask(partial(self._store.get, job.id))
            if fresh is None or not fresh.is_claimed_by(job.claim_id):
                self._log.hold(job)
                log.warning("job '%s': the claim was lost, its result is discarded", job.id)
                return
            job = fresh

    def _give_up(self, job: Job, fault: StoreRefused, ask: Ask) -> None:
        """Leave a job whose end cannot be stored; raise if the store refuses everything."""
        with contextlib.suppress(NotFound):  # even that is an answer
            ask(partial(self._store.workers.heartbeat, self._worker, self._heartbeat.slots))
        log.error("job '%s': its result cannot be stored: %s", job.id, fault)

    def _lines(self, job: Job, after: Job | None, outcome: Outcome | None) -> list[tuple[Job, str]]:
        """Return what to log about the end of a run: lines, each with its job."""
        if after is None or outcome is None:
            return []
        why = f" ({outcome.error})" if outcome.error else ""
        end = (job, f"job '{job.id}' -> {after.state.value}{why}")
        if not self._shows_output:
            return [end]
        output = (line for text in (outcome.stdout, outcome.stderr) for line in _lines_of(text))
        return [*((job, f"job '{job.id}' | {line}") for line in output), end]


def _lines_of(text: str) -> list[str]:
    """Return the lines of what a job wrote, as they may be shown on standard output."""
    if not sys.stdout.isatty():
        return text.splitlines()
    from queuectl.presentation.terminal_text import TerminalText  # background workers show none

    shown = TerminalText(is_line=True)
    lines = text.removesuffix("\n").split("\n") if text else []
    return [shown.feed(f"{line}\n".encode()).removesuffix("\n") for line in lines]
