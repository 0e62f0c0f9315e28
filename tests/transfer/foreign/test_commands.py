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


@pytest.mark.parametrize(
    "line",
    [
        "make \\", "cd /srv", "export A=1", "A=1", "A='x y' B=\"$A\"", "wait", "conda activate x",
        "for i in 1 2; do", "done", "if test -f x; then make", "fi", "python a.py &", "}",
    ],
)  # fmt: skip
def test_what_means_something_only_with_other_lines_is_refused(line: str) -> None:
    assert entry_of("commands", line).refused


@pytest.mark.parametrize(
    "line",
    [
        "conda run -n x python t.py", "A=1 make", "for i in 1 2; do echo $i; done",
        "if test -f x; then make; fi", "cd /srv && make", "make 2>&1", "echo '&'", "set -e; make",
        "{ make; }", "waiting", "for i in 1; do make; done | tail -1",
    ],
)  # fmt: skip
def test_what_means_something_by_itself_is_taken(line: str) -> None:
    assert fields_of(entry_of("commands", line))["command"] == line


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
