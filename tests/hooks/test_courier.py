"""Deliveries run beside the jobs: nobody who does not answer holds up a job, or another hook."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.hooks import Hook, Target, delivery_id
from queuectl.domain.job import Job, State
from queuectl.domain.query import Filter
from queuectl.domain.queue_limits import delivery_queue
from queuectl.domain.settings import Settings
from queuectl.domain.times import EPOCH
from queuectl.maintenance import Maintenance
from queuectl.maintenance.rescuer import courier_lock
from queuectl.queue.events import process_all_events
from queuectl.system import pidfile
from queuectl.system.run_processes import children_of
from tests.cli.harness import Cli
from tests.hooks.receiver import Receiver
from tests.stores.kit import FAILURE, added, claimed, settled
from tests.worker.fleet import Fleet, eventually, lives, pids_in


class Silence:
    """Somebody who takes every connection and never answers; `open` are those there are."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self.callers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                self.callers.append(self._server.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        """Hang up on everybody."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for caller in self.callers:
            caller.close()


@pytest.fixture
def silences() -> Iterator[list[Silence]]:
    """Two who never answer."""
    with ExitStack() as stack:
        found = [Silence(), Silence()]
        for each in found:
            stack.callback(each.close)
        yield found


def add(fleet: Fleet, name: str, address: str, **more: Any) -> None:
    """Add a hook that tells of every job that succeeds."""
    wanted = {"target": Target.WEBHOOK, "created_at": EPOCH, "events": ("completed",), **more}
    fleet.queue.hooks.add(Hook(name, address=address, **wanted))


def add_command(fleet: Fleet, name: str, command: str) -> None:
    """Add a hook that runs a command."""
    add(fleet, name, command, target=Target.COMMAND, cwd=str(fleet.root))


def slow_delivery(fleet: Fleet) -> int:
    """Start a worker and return the pid of the command of a delivery of the hook `slow`.

    It would take a minute; another one ends at once.
    """
    pids, free = fleet.root / "pids", fleet.root / "free"
    add_command(fleet, "slow", f"echo $$ >> {pids}; test -e {free} || sleep 60")
    fleet.start()
    told(fleet)
    (began,) = eventually(lambda: pids_in(pids) or False)
    free.touch()
    return began


def the_delivery(fleet: Fleet, name: str) -> Job:
    """Return the one delivery of a hook, with its output."""
    (found,) = fleet.queue.hooks.deliveries(name, 5)
    return fleet.job(found.id)


def told(fleet: Fleet, command: str = "true", **fields: Any) -> Job:
    """Run a job, and tell the hooks of it now instead of within seconds; return it."""
    job = fleet.ran(command, **fields)
    process_all_events(fleet.queue.store)
    return job


def going(fleet: Fleet, name: str) -> list[Job]:
    """Return the deliveries of a hook that run just now."""
    return [job for job in fleet.queue.hooks.deliveries(name, 50) if job.state is State.PROCESSING]


def couriers(fleet: Fleet) -> list[int]:
    return fleet.pids(pidfile.COURIER)


def kill_together(pids: list[int]) -> None:
    """Kill processes of which none shall see that another has gone."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def who_deliver(fleet: Fleet) -> list[int]:
    """Return the processes that make deliveries: the courier and its postroom."""
    (courier,) = couriers(fleet)
    return [courier, *children_of(courier)]


def test_receivers_that_hang_hold_up_neither_jobs_nor_other_hooks(
    either: Fleet, silences: list[Silence], receiver: Receiver
) -> None:
    for number, silence in enumerate(silences):
        add(either, f"silent{number}", silence.url)
    either.start()
    told(either)
    hanging = [eventually(partial(going, either, f"silent{number}"))[0] for number in range(2)]
    eventually(lambda: all(silence.callers for silence in silences))
    add(either, "other", receiver.url)
    ended = [told(either) for _ in range(5)]
    assert {job.state for job in ended} == {State.COMPLETED}
    receiver.got(1)
    for job in map(either.job, [job.id for job in hanging]):
        assert (job.state, job.runs) == (State.PROCESSING, 1), "they hang all the while"
    assert all(len(silence.callers) <= 2 for silence in silences)
    either.queue.cancel(hanging[0].id)
    assert either.settled(hanging[0].id).state is State.CANCELLED


def test_of_one_hook_two_deliveries_go_out_at_once_by_one_courier_however_many_supervisors(
    fleet: Fleet, silences: list[Silence]
) -> None:
    add(fleet, "silent", silences[0].url)
    for _ in range(2):
        fleet.start()
    for _ in range(5):
        told(fleet)
    eventually(lambda: len(silences[0].callers) == 2)
    eventually(lambda: len(list(fleet.queue.hooks.deliveries("silent", 50))) == 5)
    assert len(going(fleet, "silent")) == 2
    assert len(couriers(fleet)) == 1
    assert courier_lock(fleet.home) is None


def test_workers_that_drain_try_every_event_however_few_go_out_at_once(either: Fleet) -> None:
    add_command(either, "a", "true")
    for _ in range(6):
        either.enqueue("true")
    either.start(drain=True)
    eventually(lambda: not either.pids(pidfile.SUPERVISOR))
    states = [job.state for job in either.queue.hooks.deliveries("a", 50)]
    assert states == [State.COMPLETED] * 6


def test_workers_that_drain_leave_retries_to_others(either: Fleet) -> None:
    add_command(either, "a", "exit 1")
    store, retry = either.queue.store, delivery_id("a", "0" * 32)
    added(store, retry, queue=delivery_queue("a"), max_retries=3, backoff_cap=0.001)
    settled(store, claimed(store, deliveries=True), FAILURE)
    eventually(lambda: store.make_due_claimable() or store.has_ready_deliveries())
    for _ in range(3):
        either.enqueue("true")
    either.start(drain=True)
    eventually(lambda: not either.pids(pidfile.SUPERVISOR))
    tried = {job.id: job.runs for job in either.queue.hooks.deliveries("a", 50)}
    assert tried[retry] == 1
    assert list(tried.values()) == [1] * 4


def test_workers_that_drain_call_no_courier_for_a_retry(either: Fleet) -> None:
    store, called = either.queue.store, list[str]()
    added(store, "job1", queue=delivery_queue("a"), max_retries=3, backoff_cap=0.001)
    settled(store, claimed(store, deliveries=True), FAILURE)
    eventually(lambda: store.make_due_claimable() or store.has_ready_deliveries())
    for drains, name in ((True, "drain"), (False, "stay")):
        call = partial(called.append, name)
        Maintenance(store, either.home, call_courier=call, drains=drains).tick(Settings())
    assert called == ["stay"]


def test_deliveries_are_no_jobs_to_those_who_look(fleet: Fleet, receiver: Receiver) -> None:
    add(fleet, "a", receiver.url)
    fleet.start()
    job = told(fleet)
    (found,) = eventually(lambda: list(fleet.queue.hooks.deliveries("a", 5)))
    fleet.settled(found.id)
    queue = fleet.queue
    assert [each.id for each in queue.find()] == [job.id]
    assert [each.id for each in queue.find(Filter(deliveries=True))] == [found.id]
    assert queue.counts().total == queue.counts(deliveries=True).total == 1
    assert set(queue.stats().queues) == set(queue.totals()) == {"default"}
    assert queue.stats().total.period.completed == 1
    assert queue.stats(deliveries=True).total.period.completed == 1
    assert len(queue.workers()) == 1


def test_a_courier_that_is_killed_leaves_nothing_running_and_the_next_delivers_again(
    either: Fleet, tmp_path: Path
) -> None:
    pids, free = tmp_path / "pids", tmp_path / "free"
    command = f'echo $$ >> {pids}; test -e {free} || setsid sh -c "echo \\$\\$ >> {pids}; sleep 60"'
    add_command(either, "slow", command)
    either.start()
    told(either)
    began = eventually(lambda: len(found := pids_in(pids)) == 2 and found)
    free.touch()
    (courier,) = couriers(either)
    os.kill(courier, signal.SIGKILL)
    eventually(lambda: not any(map(lives, began)))
    delivery = either.settled(the_delivery(either, "slow").id)
    assert (delivery.state, delivery.attempts, delivery.interruptions) == (State.COMPLETED, 1, 1)
    assert couriers(either) != [courier]


def test_what_a_courier_and_its_postroom_leave_is_killed_by_the_next(fleet: Fleet) -> None:
    began = slow_delivery(fleet)
    kill_together(who_deliver(fleet))
    assert fleet.settled(the_delivery(fleet, "slow").id).state is State.COMPLETED
    assert not lives(began)


@pytest.mark.parametrize("drain", [False, True], ids=["that stay", "that drain"])
def test_what_was_going_out_when_all_were_killed_is_taken_back_by_the_next_workers(
    either: Fleet, drain: bool
) -> None:
    either.set(lease_seconds=600)
    began = slow_delivery(either)
    kill_together([*either.pids(pidfile.SUPERVISOR), *either.pids(), *who_deliver(either)])
    eventually(lambda: not pidfile.living(either.home))
    left = the_delivery(either, "slow")
    assert left.state is State.PROCESSING
    either.start(drain=drain)
    delivery = either.settled(left.id)
    assert (delivery.state, delivery.attempts, delivery.interruptions) == (State.COMPLETED, 1, 1)
    assert not lives(began)


@pytest.mark.parametrize("others", ["are killed", "work on elsewhere"])
def test_what_was_going_out_when_all_who_deliver_were_killed_is_ended_by_the_next_command(
    either: Fleet, cli: Cli, others: str
) -> None:
    either.set(lease_seconds=600)
    began = slow_delivery(either)
    where = ("--home", str(either.home.root), "--store", either.location.store_url)
    workers, killed = either.pids(), [*either.pids(pidfile.SUPERVISOR), *who_deliver(either)]
    if others == "are killed":
        killed += workers
    else:
        either.start(queues=("gpu",))
    kill_together(killed)
    eventually(lambda: not any(map(lives, [*workers, *killed])))
    assert (the_delivery(either, "slow").state, lives(began)) == (State.PROCESSING, True)
    cli.ok("list", *where)
    delivery = the_delivery(either, "slow")
    assert (delivery.state, delivery.attempts, delivery.interruptions) == (State.PENDING, 0, 1)
    assert not lives(began)
    assert not either.home.misses_processes()


def test_a_courier_waits_for_a_command_that_takes_back_what_another_has_left(fleet: Fleet) -> None:
    add_command(fleet, "a", "true")
    fleet.enqueue("true")
    lock = courier_lock(fleet.home)
    assert lock is not None
    try:
        fleet.start(drain=True)
        (supervisor,) = fleet.pids(pidfile.SUPERVISOR)
        eventually(lambda: any(map(wants_to_deliver, children_of(supervisor))), within=20)
    finally:
        os.close(lock)
    eventually(lambda: not fleet.pids(pidfile.SUPERVISOR))
    assert [job.state for job in fleet.queue.hooks.deliveries("a", 5)] == [State.COMPLETED]


def wants_to_deliver(pid: int) -> bool:
    """Whether a process has the lock of couriers open."""
    try:
        return any(
            each.readlink().name == "courier.lock" for each in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        return False


def test_a_stop_now_gives_deliveries_back_uncounted(fleet: Fleet, silences: list[Silence]) -> None:
    add(fleet, "silent", silences[0].url)
    fleet.start()
    told(fleet)
    (found,) = eventually(lambda: going(fleet, "silent"))
    eventually(lambda: silences[0].callers)
    assert fleet.stop(now=True) == []
    delivery = fleet.job(found.id)
    assert (delivery.state, delivery.attempts, delivery.interruptions) == (State.PENDING, 0, 0)
    assert couriers(fleet) == []


def test_a_graceful_stop_lets_what_goes_out_arrive(fleet: Fleet, tmp_path: Path) -> None:
    begun, end = tmp_path / "begun", tmp_path / "end"
    os.mkfifo(end)
    add_command(fleet, "slow", f"touch {begun}; cat {end}")
    fleet.start()
    told(fleet)
    eventually(begun.exists)
    assert fleet.stop(timeout=0.5) == []
    (courier,) = couriers(fleet)
    end.write_text("arrived")
    eventually(lambda: not lives(courier))
    delivery = the_delivery(fleet, "slow")
    assert delivery.state is State.COMPLETED
    assert delivery.outcome is not None
    assert delivery.outcome.stdout == "arrivedthe command ended with 0\n"


def test_workers_that_are_bound_elsewhere_make_no_deliveries_and_those_of_hooks_do(
    fleet: Fleet, receiver: Receiver
) -> None:
    add(fleet, "a", receiver.url)
    fleet.start(queues=("gpu",))
    told(fleet, queue="gpu")
    eventually(lambda: list(fleet.queue.hooks.deliveries("a", 5)))
    told(fleet, queue="gpu")
    eventually(lambda: len(list(fleet.queue.hooks.deliveries("a", 5))) == 2)
    assert fleet.queue.hooks.are_stranded()
    assert receiver.posts == []
    fleet.start(queues=("hooks",))
    receiver.got(2)
