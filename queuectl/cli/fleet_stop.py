"""Stopping workers of other hosts: asked through the store, which every worker reads."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from datetime import datetime

from queuectl.cli.progress import progress_line
from queuectl.cli.stop_words import jobs_in_hand, names_of
from queuectl.domain.errors import ExitCode, NotFound, WaitTimedOut
from queuectl.domain.times import iso
from queuectl.domain.worker_record import StopRequest, WorkerRecord
from queuectl.presentation.console import print_error, print_hint, print_line
from queuectl.queue import Queue
from queuectl.system.processes import is_here, is_live

_POLL_SECONDS = 0.1


def stop_fleet(
    queue: Queue, ids: Sequence[str], hosts: Sequence[str], *, now: bool, seconds: float | None
) -> int:
    """Ask workers of any host to stop, and wait until they have; return the exit code.

    Those are all, unless ids or pids or hosts are named. Who stops is told as it does; who has not
    answered is told in the end. Raises NotFound, and WaitTimedOut.
    """
    for host in dict.fromkeys(hosts):
        queue.hosts.require(host)
    chosen = _chosen(queue.store.workers.all(), ids, hosts)
    if ids and not chosen:
        raise NotFound(f"no worker '{ids[0]}'", hint="queuectl worker list shows them")
    moment = queue.now()
    living = {each.id for each in chosen if is_live(each, moment)}
    lost = [each for each in chosen if each.id not in living and not is_here(each.process)]
    if living or lost:  # who is only cut off hears of it when it comes back
        asked = living | {each.id for each in lost}
        queue.ask_workers_to_stop(asked, StopRequest.NOW if now else StopRequest.GRACEFUL)
    if living:
        lost += _wait(queue, living, moment, now=now, seconds=seconds)
    else:
        print_line("No workers are running")
    if not lost:
        return ExitCode.OK
    for each in lost:
        heard = f"last heard of at {iso(each.heartbeat_at)}"
        print_error(WaitTimedOut(f"worker {each.id} did not answer: {heard}"))
    print_hint("what was asked of them holds, should they come back")
    return ExitCode.TIMED_OUT


def _chosen(
    records: Sequence[WorkerRecord], ids: Sequence[str], hosts: Sequence[str]
) -> list[WorkerRecord]:
    return [
        each
        for each in records
        if (not ids or each.id in ids or str(each.process.pid) in ids)
        and (not hosts or each.host in hosts)
    ]


def _wait(
    queue: Queue, waiting: Collection[str], asked_at: datetime, *, now: bool, seconds: float | None
) -> list[WorkerRecord]:
    """Wait until workers have signed off; return those that fell silent instead."""
    deadline = None if seconds is None else time.monotonic() + seconds
    waiting, lost = set(waiting), list[WorkerRecord]()
    with progress_line() as progress:
        while waiting:
            moment = queue.now()
            left = {
                each.id: each
                for each in queue.store.workers.all()
                if each.id in waiting and (is_live(each, moment) or not is_here(each.process))
            }
            for gone in sorted(waiting - left.keys()):
                progress.clear()
                print_line(f"Worker {gone} stopped")
            sys.stdout.flush()
            silent = [each for each in left.values() if not is_live(each, moment)]
            lost += silent
            waiting = left.keys() - {each.id for each in silent}
            if not waiting:
                break
            living = [each for each in queue.workers() if each.record.id in waiting]
            if deadline is not None and time.monotonic() >= deadline:
                raise _still_running([left[name] for name in sorted(waiting)], asked_at, now=now)
            pids = [each.record.process.pid for each in living]
            progress.show(f"waiting for {names_of(pids, jobs_in_hand(living))}")
            time.sleep(_POLL_SECONDS)
    return lost


def _still_running(
    records: Sequence[WorkerRecord], asked_at: datetime, *, now: bool
) -> WaitTimedOut:
    """Return the error for workers that were not waited for any longer: who has heard of it?"""
    heard = [each.id for each in records if each.heartbeat_at > asked_at]
    unheard = [each.id for each in records if each.heartbeat_at <= asked_at]
    parts = [f"still running: {', '.join(heard)}"] if heard else []
    parts += [f"not answered yet: {', '.join(unheard)}"] if unheard else []
    hint = "what was asked holds" if now else "they stop after their jobs; --now stops these too"
    return WaitTimedOut("; ".join(parts), hint=hint)
