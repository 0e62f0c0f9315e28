"""Runs have the least numbers that no other run of the home has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from queuectl.worker.slot_numbers import SlotNumbers

OTHER = """
import sys
from queuectl.worker.slot_numbers import SlotNumbers
numbers = SlotNumbers(sys.argv[1])
print(numbers.take("a"), numbers.take("b"), flush=True)
sys.stdin.read()
"""


def test_the_least_number_that_is_free_is_taken_and_let_go(tmp_path: Path) -> None:
    numbers = SlotNumbers(str(tmp_path / "slots"))
    assert [numbers.take(run) for run in "abc"] == [1, 2, 3]
    numbers.free("b")
    numbers.free("nobody")
    assert [numbers.take(run) for run in "de"] == [2, 4]
    numbers.close()
    assert numbers.take("f") == 1
    numbers.close()


def test_another_worker_has_other_numbers_and_its_end_lets_them_go(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    numbers = SlotNumbers(path)
    assert numbers.take("a") == 1
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "2 3\n"
        assert numbers.take("b") == 4
        other.kill()
    assert numbers.take("c") == 2
    numbers.close()


def test_where_the_file_cannot_be_made_the_numbers_are_those_of_the_worker(tmp_path: Path) -> None:
    numbers = SlotNumbers(str(tmp_path / "nowhere" / "slots"))
    assert [numbers.take(run) for run in "ab"] == [1, 2]
    numbers.free("a")
    assert numbers.take("c") == 1
    numbers.close()
