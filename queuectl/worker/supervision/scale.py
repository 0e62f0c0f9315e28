"""How many workers a home is to have: declared once, and kept until something else is declared.

Which ones there are is what the PID file says of those that stay, with what the registry knows of
them. One that leaves by itself, as it drains or is for a single job, is not counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from queuectl.domain.errors import StoreRefused
from queuectl.domain.frozen import frozen
from queuectl.domain.worker_record import LiveWorker
from queuectl.system import pidfile
from queuectl.system.home import Home, cannot, open_private


@frozen
class Scale:
    """So many worker processes, each of so many jobs at once (None: as the setting says)."""

    count: int
    concurrency: int | None = None


def declared(home: Home) -> Scale | None:
    """Return what was declared for a home, if anything. Raises StoreRefused for a damaged file."""
    try:
        found = json.loads(home.scale_file.read_text())
        concurrency = found["concurrency"]
        return Scale(int(found["count"]), None if concurrency is None else int(concurrency))
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise cannot("read", home.scale_file, fault) from fault
    except (ValueError, KeyError, TypeError):
        raise StoreRefused(
            f"{home.scale_file} is damaged", hint="queuectl worker scale N writes it anew"
        ) from None


def declare(home: Home, scale: Scale) -> None:
    """Keep what a home is to have."""
    home.make()
    draft = home.scale_file.with_suffix(".new")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_TRUNC), "w") as file:
            json.dump({"count": scale.count, "concurrency": scale.concurrency}, file)
        draft.replace(home.scale_file)
    except OSError as fault:
        raise cannot("write", home.scale_file, fault) from fault


def staying(home: Home, workers: Sequence[LiveWorker]) -> list[LiveWorker]:
    """Return those of the workers of a store that are this home's, and stay until they are told.

    Those that were asked to leave are not among them, nor those whose supervisor has died.
    """
    entries = pidfile.living(home)
    supervisors = {each.process.pid for each in entries if each.role == pidfile.SUPERVISOR}
    processes = {
        each.process
        for each in entries
        if each.role == pidfile.WORKER and not each.passing and each.supervisor in supervisors
    }
    return [each for each in workers if each.record.process in processes and not each.record.stop]


def spare(workers: Sequence[LiveWorker], slots: int | None, count: int) -> list[LiveWorker]:
    """Return the workers that are too many, those without work and the latest first.

    Too many is what is more than `count` workers, or than so many slots in all where that is given.
    """
    left = list(workers)
    gone: list[LiveWorker] = []
    by_need = sorted(
        workers, key=lambda each: (not each.job_ids, each.record.started_at), reverse=True
    )
    for each in by_need:
        if len(left) <= count and (slots is None or total_slots(left) <= slots):
            break
        left.remove(each)
        gone.append(each)
    return gone


def total_slots(workers: Sequence[LiveWorker]) -> int:
    """Return how many jobs some workers run at once."""
    return sum(each.record.slots for each in workers)
