"""`queuectl dashboard` as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from queuectl.web import command
from tests.cli.harness import Cli, cli, environment

__all__ = ["cli"]

_PATIENCE = 60


@contextmanager
def running(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve a dashboard at a free port; the second value is the line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "dashboard", "--port", "0", *args],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
    )  # fmt: skip
    try:
        assert process.stdout
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate(timeout=_PATIENCE)


def test_it_says_where_it_is_serves_and_ends_with_a_signal_though_a_page_is_open(
    home: Path,
) -> None:
    with running() as (process, line):
        found = re.fullmatch(
            r"Dashboard at (http://127\.0\.0\.1:\d+/) "
            r"\(log in to make changes with the token in (.*)\)\n",
            line,
        )
        assert found, line
        assert found[2] == str(home / "dashboard.token")
        token = (home / "dashboard.token").read_text().strip()
        assert token not in line
        shown = {"authorization": f"Bearer {token}"}
        url = found[1]
        made = httpx2.post(f"{url}api/jobs", json={"id": "a", "command": "true"}, headers=shown)
        assert made.status_code == 201
        with httpx2.stream("GET", f"{url}events", timeout=_PATIENCE) as stream:
            assert any("event: look" in event for event in stream.iter_lines())
            process.send_signal(signal.SIGTERM)
            assert process.stdout
            assert process.stdout.read() == ""
        assert process.wait(_PATIENCE) == 0


def test_a_port_that_is_taken_is_refused_with_one_line(cli: Cli) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert "--port 0 takes a free port" in cli.refused(2, "dashboard", "--port", port)


def test_without_the_extra_it_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "uvicorn" else name)
    refusal = cli.refused(2, "dashboard")
    assert "needs uvicorn; pip install 'queuectl-shell[web]'" in refusal


def test_a_store_that_is_damaged_is_refused_before_anything_is_served(cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / "queue.db").write_bytes(b"not a store" * 1000)
    cli.refused(5, "dashboard")
