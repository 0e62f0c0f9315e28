"""`workers.pid`: whom a stop signals, and how the file heals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from queuectl.domain.errors import StoreLocked, StoreRefused
from queuectl.domain.settings import Settings
from queuectl.domain.times import later
from queuectl.domain.worker_record import ProcessIdentity
from queuectl.maintenance import Maintenance
from queuectl.stores import open_store
from queuectl.system import lock_watch, pidfile
from queuectl.system.home import Home
from queuectl.system.pidfile import ProcessEntry
from queuectl.system.processes import identify, is_stopped, send_signal, this_process
from queuectl.worker.supervision import manager
from tests.stores.kit import clock_of, worker_record
from tests.worker.fleet import Fleet, eventually, innocent, lives


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    home = Home(tmp_path / "home")
    home.make()
    return home


HOLDER = """
import sys
from pathlib import Path
from queuectl.system.home import Home
from queuectl.system.terminal_stops import be_a_command
from queuectl.system import pidfile

if sys.argv[2] == "ours":
    be_a_command()
with pidfile._locked(Home(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_a_stopped(home: Home, whose: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped with the lock of a home in hand: `ours`, or `a stranger`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.root), whose],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        assert eventually(lambda: is_stopped(process.pid))
        try:
            yield process
        finally:
            process.kill()


def worker(process: ProcessIdentity) -> ProcessEntry:
    return ProcessEntry(pidfile.WORKER, process, "w1")


def test_a_stranger_that_keeps_the_lock_of_the_home_is_named_and_left_alone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_watch, "MOST_STOPPED_SECONDS", 0.0)
    monkeypatch.setattr(pidfile, "_PATIENCE_SECONDS", 0.1)
    with held_by_a_stopped(home, "a stranger") as holder:
        with pytest.raises(StoreLocked, match=rf"process {holder.pid} \(python.*is stopped"):
            pidfile.add(home, worker(this_process()))
        assert lives(holder.pid)


def test_a_command_of_ours_that_is_stopped_with_the_lock_of_the_home_is_ended(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_watch, "MOST_STOPPED_SECONDS", 0.1)
    with held_by_a_stopped(home, "ours") as holder:
        pidfile.add(home, worker(this_process()))
        assert holder.wait() == -signal.SIGKILL
    assert [entry.process for entry in pidfile.living(home)] == [this_process()]


def test_entries_of_processes_that_are_gone_heal_by_themselves(home: Home) -> None:
    pidfile._write(home, [worker(replace(this_process(), started="1"))])
    assert pidfile.living(home) == []
    pidfile.add(home, worker(this_process()))
    assert pidfile.registered(home) == [worker(this_process())]


def test_that_a_courier_has_gone_is_kept_until_it_is_struck_out_or_replaced(home: Home) -> None:
    def courier(started: str) -> ProcessEntry:
        return ProcessEntry(pidfile.COURIER, replace(this_process(), pid=7, started=started))

    pidfile.add(home, courier("1"))
    pidfile.add(home, worker(this_process()))
    pidfile.add(home, courier("2"))
    assert [entry.process.started for entry in pidfile.registered(home)][1:] == ["2"]
    assert [entry.role for entry in pidfile.living(home)] == [pidfile.WORKER]
    pidfile.remove(home, {7, os.getpid()})
    assert not home.pid_file.exists()


def test_the_file_is_removed_with_the_last_entry(home: Home) -> None:
    me = this_process()
    pidfile.add(home, worker(me))
    assert home.pid_file.stat().st_mode & 0o777 == 0o600
    pidfile.remove(home, {me.pid})
    assert not home.pid_file.exists()


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"processes": [{}]}', '{"processes": 7}'])
def test_a_damaged_file_is_refused_by_readers_and_set_aside_by_writers(
    home: Home, text: str
) -> None:
    home.pid_file.write_text(text)
    with pytest.raises(StoreRefused, match="damaged"):
        pidfile.living(home)
    assert manager.check_pid_file(home)
    pidfile.add(home, worker(this_process()))
    assert [entry.worker_id for entry in pidfile.living(home)] == ["w1"]
    assert home.pid_file.with_suffix(".pid.damaged").read_text() == text


def test_a_process_of_another_machine_is_kept_but_not_believed_alive(home: Home) -> None:
    elsewhere = replace(this_process(), boot="another-boot")
    pidfile.add(home, worker(elsewhere))
    pidfile.add(home, worker(this_process()))
    assert len(entered(home)) == 2
    assert [entry.process for entry in pidfile.living(home)] == [this_process()]


def test_a_pid_that_was_given_to_a_stranger_is_never_signalled(fleet: Fleet) -> None:
    with innocent() as pid:
        stranger = identify(pid)
        assert stranger is not None
        fleet.home.make()
        for wrong in (
            replace(stranger, started=str(int(stranger.started) - 1)),
            replace(stranger, boot="another-boot"),
        ):
            roles = (pidfile.WORKER, pidfile.SUPERVISOR)
            pidfile._write(fleet.home, [ProcessEntry(role, wrong, "w1") for role in roles])
            assert not send_signal(wrong, signal.SIGKILL)
            report = manager.stop(fleet.location, now=True, timeout=5)
            assert (report.stopped, report.left) == ([], [])


def test_workers_of_a_container_that_was_killed_leave_the_file_when_the_registry_forgets_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = replace(this_process(), boot="another-container")
    with closing(open_store(str(home.store_file))) as store:
        right = clock_of(store).now
        pidfile.add(home, ProcessEntry(pidfile.SUPERVISOR, replace(gone, pid=1)))
        for pid, minutes in ((6, -20), (7, 0)):
            monkeypatch.setattr(clock_of(store), "now", partial(later, right(), 60.0 * minutes))
            record = worker_record(store, f"w{pid}")
            store.workers.register(
                replace(record, home=str(home.root), process=replace(gone, pid=pid))
            )
            pidfile.add(home, ProcessEntry(pidfile.WORKER, replace(gone, pid=pid), f"w{pid}", 1))
        pidfile.add(home, ProcessEntry(pidfile.COURIER, replace(gone, pid=8), supervisor=1))
        pidfile.add(home, ProcessEntry(pidfile.SUPERVISOR, this_process()))

        Maintenance(store, home).tick(Settings())
        assert entered(home) == [1, 7, 8, os.getpid()]
        monkeypatch.setattr(clock_of(store), "now", partial(later, right(), 60.0 * 20))
        Maintenance(store, home).tick(Settings())
        assert entered(home) == [os.getpid()]


def test_a_worker_that_was_forgotten_and_comes_back_enters_the_file_again(fleet: Fleet) -> None:
    (pid,) = fleet.start()
    with closing(open_store(fleet.location.store_url)) as store:
        (worker,) = store.workers.all()
        store.workers.unregister(worker.id)
    pidfile.forget(fleet.home, worker.id)
    assert eventually(lambda: pid in entered(fleet.home))
    assert fleet.stop() == []
    assert not lives(pid)


def entered(home: Home) -> list[int]:
    return [entry.process.pid for entry in pidfile.registered(home)]
