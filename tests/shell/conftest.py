"""The fixtures of these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cli.harness import cli, environment, home
from tests.terminal import Shell

__all__ = ["cli", "home"]

OpenShell = Callable[..., Shell]


@pytest.fixture
def open_shell() -> Iterator[OpenShell]:
    """Opens shells, each on a terminal of its own, and closes them."""
    with ExitStack() as stack:

        def open_one(columns: int = 80, rows: int = 24, **variables: str) -> Shell:
            env = {**environment(), **variables}
            shell = stack.enter_context(Shell([], env, columns, rows))
            shell.frees()
            shell.until(lambda: shell.lines[-1] != "", "row at the bottom")
            return shell

        yield open_one
