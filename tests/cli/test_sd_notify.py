"""A service manager is told when workers claim, that they go on, and that they stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from queuectl.system import sd_notify
from queuectl.system.sd_notify import Notifier, notifier
from queuectl.worker.supervision.service import Service
from tests.cli.harness import Cli, running

PATIENCE_SECONDS = 60.0


class Manager:
    """Whoever starts services: what it was told, line by line."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.lines: list[str] = []

    def until(self, line: str, times: int = 1) -> list[str]:
        """Wait until a line has come so often; return all that came before and with it."""
        while self.lines.count(line) < times:
            self.lines += self._listener.recv(4096).decode().split("\n")
        return self.lines


@contextmanager
def listening(address: str) -> Iterator[Manager]:
    """Be told at an address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        listener.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield Manager(listener)


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a service manager listens."""
    if request.param == "path":
        return str(tmp_path / "notify")
    if not sys.platform.startswith("linux"):
        pytest.skip("abstract sockets are of Linux alone")
    return f"@queuectl-{token_hex(8)}"


def test_workers_in_the_foreground_tell_when_they_claim_that_they_go_on_and_that_they_stop(
    cli: Cli, address: str, home: Path
) -> None:
    cli.ok("enqueue", "env", "env; true")
    watched = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    with (
        listening(address) as manager,
        running("worker", "start", "--foreground", "--count", "2", **watched) as worker,
    ):
        told = manager.until("READY=1")
        assert "STATUS=2 workers at work" in manager.until("STATUS=2 workers at work")
        assert told.count("READY=1") == 1
        manager.until("WATCHDOG=1", 4)
        cli.ok("wait", "env", "--timeout", "60")
        output = cli.ok("logs", "env").out
        worker.popen.send_signal(signal.SIGTERM)
        stopping = manager.until("STOPPING=1")
        assert stopping.count("READY=1") == 1, "it is said once"
        assert worker.ends().code == 0
    assert "PATH=" in output
    assert not any(name in output for name in sd_notify.VARIABLES)
    assert home.is_dir()


@pytest.mark.parametrize("command", [("metrics", "--serve", "0"), ("dashboard", "--port", "0")])
def test_what_serves_tells_when_it_does(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    cli.ok("init")
    address = str(tmp_path / "notify")
    with listening(address) as manager, running(*command, NOTIFY_SOCKET=address) as server:
        assert manager.until("READY=1") == ["READY=1"]
        assert server.ends(signal.SIGTERM).code == 0


def test_nobody_is_told_who_does_not_listen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notifier().is_heard
    assert not notifier().tell("READY=1")
    assert not Notifier(str(tmp_path / "gone")).tell("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1234")
    assert not notifier().is_heard


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("30000000", "", 30.0), ("30000000", "own", 30.0), ("30000000", "1", 0.0),
     ("", "", 0.0), ("soon", "", 0.0)],
)  # fmt: skip
def test_the_watchdog_is_that_of_this_process(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str, seconds: float
) -> None:
    pid = str(os.getpid()) if pid == "own" else pid
    for name, value in zip(sd_notify.VARIABLES, ("/run/x", microseconds, pid), strict=True):
        monkeypatch.setenv(name, value)
    assert notifier().watchdog == seconds
    assert not any(name in os.environ for name in sd_notify.VARIABLES)


def test_what_was_not_taken_is_said_again(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    service = Service(Notifier(address), 1)
    service.report_ready()
    service.look(1, is_stopping=False)
    assert service.due < float("inf"), "nobody listened"
    with listening(address) as manager:
        service.look(1, is_stopping=False)
        assert manager.until("READY=1") == ["READY=1", "STATUS=1 worker at work"]
    assert service.due == float("inf")
