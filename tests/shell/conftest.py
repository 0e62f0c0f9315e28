"""The fixtures of these tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.cli.harness import cli, home

if os.name == "nt":
    collect_ignore_glob = ["test_prompt.py", "test_screens.py"]
else:
    from tests.shell.terminal import Terminal

    OpenTerminal = Callable[..., Terminal]

    @pytest.fixture
    def open_terminal() -> Iterator[OpenTerminal]:
        """Opens terminals with a shell on them, and closes them."""
        opened: list[Terminal] = []

        def open_one(columns: int = 80, rows: int = 24, **variables: str) -> Terminal:
            opened.append(Terminal(columns, rows, **variables))
            opened[-1].wait_for("queuectl >")
            return opened[-1]

        yield open_one
        for terminal in opened:
            terminal.close()


__all__ = ["cli", "home"]
