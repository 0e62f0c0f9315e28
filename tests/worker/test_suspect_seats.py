"""The places of workers for suspects: how many are forked, and when."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from queuectl.stores import open_store
from queuectl.stores.base import Store
from queuectl.system.home import Home
from queuectl.system.polling import wait_readable
from queuectl.worker.options import WorkerOptions
from queuectl.worker.supervision.suspect_seats import SuspectSeats
from tests.stores.test_suspects import suspect
from tests.worker.fleet import eventually

SLOTS = 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with ExitStack() as stack:
        opened = open_store(str(tmp_path / "queue.db"))
        stack.callback(opened.close)
        yield opened


@pytest.fixture
def seats(tmp_path: Path) -> Iterator[SuspectSeats]:
    """The seats beside one worker of several slots."""
    home = Home(tmp_path)
    seats = SuspectSeats(home, WorkerOptions(drain=True, concurrency=SLOTS), 1)
    seats.share_of(0).note(SLOTS, 0)
    yield seats
    seats.hand_on(signal.SIGKILL)
    await_empty(seats)


def sleeper(options: WorkerOptions) -> int:
    """Start what stays until it is killed, in place of a worker."""
    assert (options.concurrency, options.suspects, options.drain) == (1, True, False)
    return os.posix_spawnp("sleep", ["sleep", "60"], os.environ)


def await_empty(seats: SuspectSeats) -> None:
    """Wait until all have been reaped that were killed."""

    def are_reaped() -> bool:
        seats.reap()
        return not seats.pids

    assert eventually(are_reaped)


def look(seats: SuspectSeats, store: Store) -> None:
    """Look for suspects, as the worker does."""
    seats.share_of(0).look(store, SLOTS)


def test_nothing_is_forked_until_a_worker_has_seen_suspects(
    seats: SuspectSeats, store: Store
) -> None:
    look(seats, store)
    seats.fill(sleeper)
    assert seats.pids == []
    for name in "ab":
        suspect(store, name)
    look(seats, store)
    wait_readable([seats.bell], 60)
    seats.fill(sleeper)
    assert len(seats.pids) == 2


def test_no_more_are_forked_than_slots_can_be_left_to_them(
    seats: SuspectSeats, store: Store
) -> None:
    for number in range(SLOTS + 2):
        suspect(store, f"s{number}")
    look(seats, store)
    seats.share_of(0).note(SLOTS, 2)
    seats.fill(sleeper)
    assert len(seats.pids) == 2


def test_what_was_forked_just_now_is_about_to_claim_what_waits(
    seats: SuspectSeats, store: Store
) -> None:
    suspect(store, "a")
    for _ in range(2):
        look(seats, store)
        seats.fill(sleeper)
    assert len(seats.pids) == 1


def test_one_that_died_is_replaced_when_a_worker_rings_and_not_before(
    seats: SuspectSeats, store: Store
) -> None:
    suspect(store, "a")
    look(seats, store)
    seats.fill(sleeper)
    (pid,) = seats.pids
    os.kill(pid, signal.SIGKILL)
    await_empty(seats)
    seats.fill(sleeper)
    assert seats.pids == []
    look(seats, store)
    seats.fill(sleeper)
    assert len(seats.pids) == 1


def test_where_nothing_can_be_forked_the_others_go_on_and_no_slot_is_lost(
    seats: SuspectSeats, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        suspect(store, name)

    def fork(options: WorkerOptions) -> int:
        if seats.pids:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return sleeper(options)

    look(seats, store)
    seats.fill(fork)
    assert len(seats.pids) == 1
    assert "no worker for a suspect could be started" in caplog.text
    store.set_queue_limit("default", paused=True)
    look(seats, store)
    assert seats.share_of(0).of(SLOTS) == SLOTS - 1
