"""Ctrl-C in the first moments of a command, while the program is still being loaded."""

from __future__ import annotations

import ast
import sys

import pytest

from tests.cli.harness import program

PROGRAM = """
import signal, sys

at, what = int(sys.argv.pop(1)), sys.argv.pop(1)

class Callback:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def press(event, _):
    global at
    at -= event == "import"
    if event == "import" and at == 0:
        signal.raise_signal(signal.SIGINT) if what == "here" else Callback()

from queuectl.cli import main
sys.addaudithook(press)
main()
"""
"""Presses Ctrl-C when so many modules have been asked for, there or where nothing can be raised."""


@pytest.mark.parametrize("what", ["here", "in a callback"])
@pytest.mark.parametrize("at", [1, 2, 5, 15, 40, 80, 95])
def test_ctrl_c_while_a_command_is_loaded_ends_it_without_a_word(at: int, what: str) -> None:
    for command in (["enqueue", "a", "true"], ["status"]):
        ended = program([sys.executable, "-c", PROGRAM, str(at), what, *command])
        assert (ended.code, ended.err) in [(130, ""), (0, "")], ended
        if at <= 40:
            assert ended.code == 130


def test_ctrl_c_that_is_ignored_where_a_command_is_started_stays_so() -> None:
    words = [sys.executable, "-c", PROGRAM, "5", "here", "enqueue", "a", "true"]
    ignored = program(["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *words])
    assert (ignored.code, ignored.out) == (0, "Enqueued job 'a'\n")


def test_what_a_command_loads_before_it_heeds_ctrl_c_is_nearly_nothing() -> None:
    code = "import sys; before = set(sys.modules); import queuectl.cli; "
    code += "print(sorted(set(sys.modules) - before))"
    shown = program([sys.executable, "-c", code])
    assert ast.literal_eval(shown.out) == ["__future__", "queuectl", "queuectl.cli"]
