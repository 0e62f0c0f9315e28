"""What `logs` shows of a job's output, at a terminal and away from one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from queuectl.cli import run_output
from queuectl.domain.job import Outcome
from queuectl.queue import open_queue
from tests.cli.harness import Cli, bury, claim_next, environment, process, run_next
from tests.local_zone import SetZone, zone

if os.name == "nt":
    pytest.skip("pexpect needs a Unix terminal", allow_module_level=True)

from tests.terminal import Terminal

__all__ = ["zone"]

Start = Callable[..., Terminal]


@pytest.fixture
def run() -> Iterator[Start]:
    """Start command lines, each on a terminal of its own."""
    with ExitStack() as stack:

        def start(*args: str) -> Terminal:
            return stack.enter_context(Terminal(args, environment()))

        yield start


def wrote(home: Path, job_id: str, out: bytes, err: bytes = b"", order: str = "") -> None:
    """Play a worker that has run a job, which wrote that."""
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": job_id, "command": "true"})])
        run_next(queue, Outcome(exit_code=0, duration=1.0))
    folder = home / "logs" / "jobs" / job_id
    folder.mkdir(parents=True)
    for name, data in (("1.out", out), ("1.err", err), ("1.order", order.encode())):
        if data:
            (folder / name).write_bytes(data)


def test_a_long_id_takes_no_room_from_the_lines_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_output, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    long = "x" * 128
    named = run_output.prefixes(["a", long], colors=False)
    assert named == {"a": f"{'a':<20} │ ", long: f"{long} │ "}


def test_both_streams_are_shown_in_the_order_in_which_they_came(
    run: Start, cli: Cli, home: Path
) -> None:
    wrote(home, "a", b"cc a.c\ncc b.c\n", b"warning\n", "7 0\n7 8\n")
    for words in (["logs", "a"], ["logs", "-f", "a"]):
        showing = run(*words)
        showing.shows("cc a.c\nwarning\ncc b.c\n")
        assert showing.ends() == 0
    both = cli.ok("logs", "a")
    assert (both.out, both.err) == ("cc a.c\ncc b.c\n", "warning\n")
    assert cli.ok("logs", "a", "--stdout").out == "cc a.c\ncc b.c\n"
    assert cli.ok("logs", "a", "--stderr").out == "warning\n"
    last = cli.ok("logs", "a", "-n", "2")
    assert (last.out, last.err) == ("cc b.c\n", "warning\n")


def test_a_line_is_not_torn_by_the_other_stream(run: Start, home: Path) -> None:
    wrote(home, "a", b"half and half\nend", b"warning\n", "5 0\n5 8\n")
    showing = run("logs", "a")
    assert showing.ends() == 0
    assert showing.lines[:3] == ["warning", "half and half", "end"]


def test_a_job_that_merges_its_output_is_shown_in_its_exact_order(cli: Cli) -> None:
    cli.ok("worker", "start")
    script = "for n in 1 2 3; do echo o$n; echo e$n >&2; done"
    cli.ok("enqueue", "--merge-output", "a", script)
    assert process("logs", "-f", "a").out == "o1\ne1\no2\ne2\no3\ne3\n"
    assert cli.ok("logs", "a", "--stdout", "-n", "2").out == "o3\ne3\n"
    none = cli.ok("logs", "a", "--stderr")
    assert (none.out, none.err) == (
        "", "job 'a' has one file for both streams: leave out --stderr\n",
    )  # fmt: skip
    assert "merge_output" in cli.ok("show", "a").out


@pytest.mark.parametrize("words", [["run", "--id", "a", "--command"], ["enqueue", "a"]])
def test_what_is_followed_comes_in_its_order(
    run: Start, cli: Cli, tmp_path: Path, words: list[str]
) -> None:
    gates = [tmp_path / "one", tmp_path / "two"]
    script = "echo cc a.c"
    for gate, more in zip(gates, ("echo warning >&2", "printf linking"), strict=True):
        script += f"; until test -e {gate}; do sleep 0.01; done; {more}"
    following = run(*words, script)
    if words[0] == "enqueue":
        following.ends()
        cli.ok("worker", "start")
        following = run("logs", "-f", "a")
    following.shows("cc a.c")
    gates[0].touch()
    following.shows("cc a.c\nwarning")
    gates[1].touch()
    following.shows("cc a.c\nwarning\nlinking")
    assert following.ends() == 0


@pytest.mark.parametrize(
    ("enqueue", "heading"),
    [
        (["true"], "job 'a' has not run yet: no worker is running"),
        (["true", "--in", "2h"], "job 'a' has not run yet: scheduled for 20"),
        (["true", "--after", "other"], "job 'a' has not run yet: waits for other"),
    ],
)
def test_a_job_that_has_not_begun_says_why(cli: Cli, enqueue: list[str], heading: str) -> None:
    cli.ok("enqueue", "other", "true", "--in", "1h")
    cli.ok("enqueue", "a", *enqueue)
    shown = cli.ok("logs", "a")
    assert shown.out == ""
    assert shown.err.startswith(heading)


def test_a_job_that_wrote_nothing_says_how_it_ended(cli: Cli, home: Path) -> None:
    with open_queue() as queue:
        for job_id, outcome in (
            ("well", Outcome(exit_code=0)),
            ("ill", Outcome(exit_code=3, error="Exit code 3")),
            ("absent", Outcome(error="Command not found")),
        ):
            asked = {"id": job_id, "command": "true", "max_retries": 1}
            queue.enqueue([queue.request(asked)])
            run_next(queue, outcome)
        queue.enqueue([queue.request({"id": "never", "command": "true"})])
        queue.cancel("never")
        queue.enqueue([queue.request({"id": "runs", "command": "true"})])
        claim_next(queue)
    wrote(home, "loud", b"", b"oh no\n")
    told = cli.ok("logs", "well", "ill", "absent", "never", "runs", "loud")
    assert told.out == ""
    assert told.err.splitlines()[:4] == [
        "job 'well' wrote nothing: completed",
        "job 'ill' wrote nothing: Exit code 3",
        "job 'absent' wrote nothing: Command not found",
        "job 'never' never began: cancelled",
    ]
    assert told.err.splitlines()[4].startswith("job 'runs' has written nothing yet, and runs for ")
    assert told.err.splitlines()[5] == "loud: oh no"
    other = "; stderr has 6 bytes: --stderr\n"
    assert cli.ok("logs", "loud", "--stdout").err == (
        f"job 'loud' wrote nothing to stdout: completed{other}"
    )
    assert cli.ok("logs", "loud", "-n", "0").err == ""


NASTY = b"\x1b]0;owned\x07\x1b[?1049h\x1b[41mred\x1b(0\x1b[5;5Hend\n"


def test_a_job_leaves_the_terminal_as_it_was(run: Start, cli: Cli, home: Path) -> None:
    wrote(home, "a", NASTY, NASTY)
    for words in (["logs", "a"], ["logs", "-f", "a"], ["logs", "a", "missing"]):
        showing = run(*words)
        showing.shows("redend")
        showing.ends()
        assert showing.screen.title == ""
        row = next(y for y, line in enumerate(showing.lines) if "redend" in line)
        cells = showing.screen.buffer[row]
        assert cells[showing.lines[row].index("redend")].bg == "red"
        assert cells[79].bg == showing.screen.cursor.attrs.bg == "default"
    assert cli.ok("logs", "a", "--stdout").out.encode() == NASTY  # away from a terminal


def test_the_progress_of_a_job_does_not_hide_its_id(run: Start, cli: Cli, home: Path) -> None:
    wrote(home, "a", b"  0%\r 50%\rall done, really\rdone\n", b"dos\r\n")
    wrote(home, "longer", b"\x1b[2K1/2\r\x1b[2K2/2\r")
    for words in (["logs"], ["logs", "-f"]):
        showing = run(*words, "a", "longer")
        showing.shows("a      │ done", "a      │ dos", "longer │ 2/2")
        assert showing.ends() == 0
        assert "really" not in showing.text
    away = cli.ok("logs", "a", "longer")
    assert away.out == (
        "a:   0%\ra:  50%\ra: all done, really\ra: done\nlonger: \x1b[2K1/2\rlonger: \x1b[2K2/2\r\n"
    )
    assert away.err == "a: dos\r\n"


def test_the_output_in_a_record_is_shown_as_that_of_a_file(run: Start, cli: Cli) -> None:
    bury("a")
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "b", "command": "true", "max_retries": 1})])
        run_next(queue, Outcome(exit_code=1, error="Exit code 1", stdout="\x1b]0;x\x07said\n"))
    showing = run("logs", "b")
    showing.shows("said")
    assert showing.ends() == 0
    assert showing.screen.title == ""
    assert cli.ok("logs", "b").out == "\x1b]0;x\x07said\n"


def test_a_worker_in_the_foreground_shows_output_as_safely(run: Start, cli: Cli) -> None:
    text = NASTY.decode().replace("\x1b", "\\033").replace("\x07", "\\007").replace("\n", "\\n")
    cli.ok("enqueue", "a", f"printf '{text}'; printf '10%%\\r20%%\\r'")
    working = run("worker", "start", "--foreground", "--drain")
    working.shows("job 'a' | redend", "job 'a' | 20%", "job 'a' -> completed")
    assert working.ends() == 0
    assert working.screen.title == ""
    assert working.screen.cursor.attrs.bg == "default"


def test_each_line_begins_with_when_it_was_written(cli: Cli, home: Path, zone: SetZone) -> None:
    zone("Asia/Kolkata")
    wrote(home, "a", b"50%\r100%\nlast", b"oops\n", "9 0 1800000000123\n9 5 1800000001000\n")
    os.utime(home / "logs" / "jobs" / "a" / "1.out", (1800000002, 1800000002))
    result = cli("logs", "-t", "a")
    assert result.out == (
        "2027-01-15T13:30:00.123+05:30 50%\r"
        "2027-01-15T13:30:00.123+05:30 100%\n"
        "2027-01-15T13:30:02.000+05:30 last\n"
    )
    assert result.err == "2027-01-15T13:30:01.000+05:30 oops\n"
    assert cli("logs", "--timestamps", "-n", "1", "--stdout", "a").out.endswith("30 last\n")
    assert cli("logs", "-f", "-t", "a").out == result.out


def test_lines_of_several_jobs_have_their_time_behind_the_id(cli: Cli, home: Path) -> None:
    wrote(home, "a", b"one\n", order="4 0 1800000000123\n")
    wrote(home, "b", b"two\n", order="4 0 1800000001000\n")
    lines = cli("logs", "-t", "a", "b").out.splitlines()
    assert [line.split()[0] for line in lines] == ["a:", "b:"]
    assert [line.split()[2] for line in lines] == ["one", "two"]


@pytest.mark.usefixtures("home")
def test_what_only_a_record_has_is_of_the_end_of_its_run(cli: Cli) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true"})])
        run_next(queue, Outcome(exit_code=0, stdout="one\ntwo\n"))
        ended = queue.get("a").finished_at
    assert ended is not None
    found = [line.split() for line in cli("logs", "-t", "a").out.splitlines()]
    assert [text for _, text in found] == ["one", "two"]
    assert {datetime.fromisoformat(at) for at, _ in found} == {ended}
