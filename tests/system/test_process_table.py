"""Threads that look for processes at the same time share a look; each gets what is true since."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace

import pytest

from queuectl.system import process_table
from queuectl.system.process_table import Process, ProcessTable
from tests.worker.fleet import eventually

ASKING = 6


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_look_finds_this_process_and_its_parent() -> None:
    me = next(process for process in ProcessTable().look() if process.pid == os.getpid())
    assert (me.parent, me.group) == (os.getppid(), os.getpgrp())


def test_threads_that_ask_while_a_look_goes_on_share_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    clock = count(1)
    asked: list[int] = []
    looks: list[int] = []

    def living() -> Iterator[Process]:
        looks.append(len(looks))
        begun.set()
        go_on.wait()
        return iter([Process(looks[-1], 0, 0, 0, ())])

    def monotonic() -> int:
        asked.append(next(clock))
        return asked[-1]

    monkeypatch.setattr(process_table, "_living", living)
    monkeypatch.setattr(process_table, "time", SimpleNamespace(monotonic=monotonic))
    table = ProcessTable()
    with ThreadPoolExecutor(ASKING + 1) as pool:
        first = pool.submit(table.look)
        begun.wait()
        others = [pool.submit(table.look) for _ in range(ASKING)]
        try:
            eventually(lambda: len(asked) == ASKING + 2)
        finally:
            go_on.set()
    assert [process.pid for process in first.result()] == [0]
    assert [process.pid for other in others for process in other.result()] == [1] * ASKING
