"""What somebody gets who holds many lines, and what others get meanwhile."""

from __future__ import annotations

import logging
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from queuectl.web import live
from queuectl.web.protocol import BoundedProtocol, FewEntries
from tests.cli.harness import environment
from tests.web.browser import serving
from tests.web.kit import TOKEN

_PATIENCE = 60
_HEAD = b"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"


def connected(url: str, sent: bytes) -> socket.socket:
    """Connect and send something."""
    parts = urlsplit(url)
    line = socket.create_connection((parts.hostname, parts.port), timeout=_PATIENCE)
    line.sendall(sent)
    return line


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        _HEAD % TOKEN.encode() + b"Content-Length: 100\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        + _HEAD % TOKEN.encode()
        + b"Content-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "half a body", "half a second head", "half a second body"],
)
@pytest.mark.usefixtures("queue")
def test_a_request_that_does_not_come_in_is_given_up(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.2)
    monkeypatch.setattr(BoundedProtocol, "body_seconds", 0.2)
    with serving() as url, connected(url, sent) as line:
        try:
            while line.recv(65_536):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.usefixtures("queue")
def test_streams_are_counted_when_they_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_CLIENTS", 3)
    asked = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with serving() as url, ExitStack() as lines:
        opened = [lines.enter_context(connected(url, asked)) for _ in range(12)]
        statuses = [line.recv(4096).split()[1] for line in opened]
    assert sorted(statuses) == [b"200"] * 3 + [b"503"] * 9


@contextmanager
def few_descriptors(number: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a dashboard that may open so many files; the value is its address, and it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "dashboard", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number)),
    )  # fmt: skip
    try:
        assert process.stdout
        yield process.stdout.readline().split()[2], process
    finally:
        process.kill()
        process.communicate(timeout=_PATIENCE)


def test_who_asks_in_earnest_is_answered_while_others_hold_the_line(home: Path) -> None:
    with few_descriptors(256) as (url, process), ExitStack() as lines:
        for _ in range(600):
            lines.enter_context(connected(url, b"GET / HTTP/1.1\r\n"))
        assert httpx2.get(f"{url}healthz", timeout=_PATIENCE).text == "ok\n"
        for _ in range(100):
            with connected(url, b"\0nonsense\r\n\r\n") as line:
                assert b"400" in line.recv(4096)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=_PATIENCE)
    assert errors.count("Invalid HTTP request") <= 20
    assert "Traceback" not in errors
    assert home.is_dir()


def test_a_log_says_how_much_it_left_out() -> None:
    now = [0.0]
    few = FewEntries(2, 60, lambda: now[0])

    def written() -> str | None:
        record = logging.LogRecord("a", logging.ERROR, "", 0, "it is %s", ("odd",), None)
        return record.getMessage() if few.filter(record) else None

    assert [written() for _ in range(5)] == ["it is odd"] * 2 + [None] * 3
    now[0] = 60
    assert [written(), written()] == ["it is odd (and 3 entries were left out)", "it is odd"]
