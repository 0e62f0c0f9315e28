"""Plain commands, one a line."""

from __future__ import annotations

import pytest

from queuectl.transfer.foreign.entry import stem_of
from tests.transfer.foreign.kit import entries_of, entry_of, fields_of


def test_each_line_is_a_job_but_comments_and_blank_ones() -> None:
    entries = entries_of("commands", "# all\n\n  make one \r\n#HYPERSHELL: a:1\nmake two # tag\n")
    assert [(each.line, fields_of(each)["command"]) for each in entries] == [
        (3, "make one"), (5, "make two # tag"),
    ]  # fmt: skip
    assert fields_of(entries[0])["cwd"] == "/srv"


def test_two_lines_that_are_the_same_are_two_jobs_each_with_its_own_hash() -> None:
    first, second = entries_of("commands", "make\nmake\n")
    assert first.name != second.name
    again, _ = entries_of("commands", "# more\nmake\nmake")
    assert (again.name, again.digest) == (first.name, first.digest)
    assert "make" not in first.digest


@pytest.mark.parametrize("line", ["make \\", "cd /srv", "export A=1"])
def test_what_means_something_only_with_other_lines_is_refused(line: str) -> None:
    assert entry_of("commands", line).refused


@pytest.mark.parametrize(
    ("command", "stem"),
    [
        ("make all", "make"), ("cd /srv && ./backup.sh --all", "backup.sh"),
        ("test -e /run/x || A=1 /usr/sbin/scrub -A", "scrub"), ("nice -n 5 python t.py", "python"),
        ("$HOME/bin/x", "x"), ("exit", "exit"), ("[ -f x ]", "job"),
        ("/usr/bin/env bash -c 'sleep 1'", "sleep"), ("flock -n /tmp/l run", "run"),
    ],
)  # fmt: skip
def test_a_job_is_named_after_what_it_runs(command: str, stem: str) -> None:
    assert stem_of(command) == stem
