"""The latest job of a terminal, which needs no id, and picking one of several."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from queuectl.domain.errors import NotFound
from queuectl.domain.frozen import replace
from queuectl.queue import open_queue
from queuectl.system import terminal_jobs
from queuectl.system.home import Home
from tests.cli.harness import Cli, bury, environment
from tests.terminal import Terminal

if os.name == "nt":
    pytest.skip("pexpect needs a Unix terminal", allow_module_level=True)

import pexpect


def at_one_terminal(*lines: str, answers: tuple[tuple[str, str], ...] = ()) -> str:
    """Run lines of a shell at one terminal; return all that is on it in the end."""
    script = "\n".join(lines).replace("queuectl", f"{sys.executable} -m queuectl")
    child = pexpect.spawn(
        "/bin/sh", ["-c", script], timeout=60, encoding="utf-8", dimensions=(24, 200),
        env={**environment(), "TERM": "dumb"},
    )  # fmt: skip
    text = ""
    for question, answer in answers:
        child.expect_exact(question)
        text += str(child.before) + question
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    return (text + str(child.before)).replace("\r\n", "\n")


def test_without_an_id_it_is_the_latest_job_of_this_terminal_which_is_named(cli: Cli) -> None:
    cli.ok("enqueue", "elsewhere", "true")
    text = at_one_terminal(
        "queuectl enqueue first 'echo one'",
        "queuectl enqueue second 'echo two'",
        "queuectl logs",
        "queuectl show | grep two",
        "queuectl wait --timeout 0",
        "queuectl show --json > shown.json",
    )
    assert text.count("job 'second', the latest of this terminal\n") == 4
    assert "job 'second' has not run yet" in text
    assert "echo two" in text
    assert "job 'second' is still pending" in text
    assert Path("shown.json").read_text().startswith("{")


def test_a_batch_a_run_and_a_retry_are_remembered_too() -> None:
    bury("old")
    Path("jobs.jsonl").write_text(
        "".join(f'{{"id": "j{n}", "command": "true"}}\n' for n in range(150))
    )
    text = at_one_terminal(
        "queuectl enqueue -f jobs.jsonl > told.txt",
        "queuectl show @last --json | grep '\"id\"'",
        "queuectl show @-100 --json | grep '\"id\"'",
        "queuectl show @-101",
        "queuectl retry old",
        "queuectl show @last --json | grep '\"id\"'",
        "queuectl show @-2 --json | grep '\"id\"'",
        "queuectl run here true",
        "queuectl show @last --json | grep '\"id\"'",
    )
    assert [line.split('"')[3] for line in text.splitlines() if '"id"' in line] == [
        "j149", "j50", "old", "j149", "here",
    ]  # fmt: skip
    assert "no job '@-101': only 100 jobs were enqueued or retried at this terminal" in text


def test_at_last_stands_for_an_id_wherever_one_is_taken(cli: Cli) -> None:
    text = at_one_terminal(
        "queuectl enqueue a 'sleep 60'",
        "queuectl enqueue b true --after @last",
        "queuectl enqueue c true --after @-1,@-2",
        "queuectl set @last priority=high",
        "queuectl set c after=@-3",
        "queuectl jobs pause @-2",
        "queuectl jobs move @last --first",
        "queuectl logs @last @-2",
        "queuectl list --after @-2 --json > after.json",
        "queuectl cancel @-3 @-2",
        "queuectl delete @-3",
        "queuectl show @-3",
    )
    assert [cli.job(name)["after"] for name in ("b", "c")] == [["a"], ["a"]]
    assert cli.job("c")["priority"] == 10
    for line in ("Paused job 'b'", "Moved job 'c' to the head", "Cancelled job 'a'",
                 "Cancelled job 'b'", "Deleted job 'a'", "queuectl: no job 'a'"):  # fmt: skip
        assert line in text, text
    assert Path("after.json").read_text().count('"id"') == 1


def test_away_from_a_terminal_an_id_is_needed_and_nothing_is_remembered(
    cli: Cli, home: Path
) -> None:
    cli.ok("enqueue", "a", "true")
    for verb in ("logs", "show", "wait", "cancel", "retry"):
        assert "name the job" in cli.refused(2, verb)
    assert "no job was enqueued or retried at this terminal" in cli.refused(3, "show", "@last")
    assert "@last is the latest" in cli.refused(3, "show", "@first")
    assert not (home / terminal_jobs.DIRECTORY).exists()


def test_python_and_the_dashboard_do_not_take_at_last() -> None:
    with open_queue() as queue, pytest.raises(NotFound, match="no job '@last'"):
        queue.get("@last")


def test_what_terminals_remember_is_private_bounded_and_forgotten_with_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever runs the tests may have lost its own session leader, as a service's child has.
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    place = Home(home)
    place.make()
    gone = home / terminal_jobs.DIRECTORY / f"999999999-1-{terminal_jobs._boot()}"
    old = gone.with_name("1-2-another-boot")
    gone.parent.mkdir(mode=0o700)
    gone.write_text("x /store\n")
    old.write_text("x /store\n")
    os.utime(old, (0, 0))
    monkeypatch.setattr(terminal_jobs, "_MOST_BYTES", 2000)
    for n in range(300):
        terminal_jobs.remember(place, "/store", [f"job{n}"])
    terminal_jobs.remember(place, "/other", ["else"])
    assert terminal_jobs.recall(place, "/store")[-2:] == ["job298", "job299"]
    assert terminal_jobs.recall(place, "/other") == ["else"]
    (file,) = gone.parent.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size < 4000
    file.unlink()
    gone.parent.rmdir()
    gone.parent.write_text("")  # no place to remember anything
    terminal_jobs.remember(place, "/store", ["a"])
    assert terminal_jobs.recall(place, "/store") == []


def test_whoever_has_lost_its_session_leader_remembers_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Home(home)
    place.make()
    for leader in (0, 999_999_999):  # of another namespace of processes; ended
        monkeypatch.setattr(os, "getsid", lambda _, leader=leader: leader)
        terminal_jobs.remember(place, "/store", ["a"])
        assert terminal_jobs.recall(place, "/store") == []
    assert not (home / terminal_jobs.DIRECTORY).exists()


@pytest.mark.parametrize(("answer", "state"), [("y", "cancelled"), ("n", "pending")])
def test_cancel_without_an_id_asks_about_the_only_job_it_can_mean(
    cli: Cli, answer: str, state: str
) -> None:
    at_one_terminal(
        "queuectl enqueue a true",
        "queuectl cancel",
        answers=(("Cancel job 'a' (pending: true)? [y/N]:", answer),),
    )
    assert cli.job("a")["state"] == state


def test_retry_without_an_id_asks_about_what_failed(cli: Cli) -> None:
    bury("a")
    at_one_terminal("queuectl retry", answers=(("Retry job 'a' (dead: false)?", "y"),))
    assert cli.job("a")["state"] == "pending"
    assert "no job is failed or dead" in at_one_terminal("queuectl retry")


def test_of_several_one_is_picked_by_typing_with_its_log_beside_it(cli: Cli) -> None:
    bury("alpha", "beta", "gamma")
    cli.ok("enqueue", "waits", "sleep 9")
    with Terminal(["retry"], environment(), 100, 24) as screen:
        screen.shows("Retry which job?", "> gamma", "beta", "alpha", "│oh no")
        assert "waits" not in screen.text
        screen.press("down")
        screen.shows("> beta")
        screen.press("ALPH")
        screen.shows("Retry which job? ALPH", "> alpha")
        screen.loses("beta")
        screen.press("enter")
        assert screen.ends() == 0
        screen.shows("Retried job 'alpha': it is pending again")
        assert "which job" not in screen.text
    assert cli.job("alpha")["state"] == "pending"
    assert cli.job("beta")["state"] == "dead"


def test_an_id_that_is_typed_is_picked_before_what_it_is_a_part_of(cli: Cli) -> None:
    for job_id in ("a", "ea", "ead", "lead"):
        bury(job_id)
    bury("newest")  # whose state has these letters, as that of all has
    with Terminal(["retry"], environment(), 80, 24) as screen:
        screen.shows("> newest")
        screen.press("ea")
        screen.shows("> ea ", "  ead", "  lead", "  newest")
        screen.press("enter")
        assert screen.ends() == 0
    assert cli.job("ea")["state"] == "pending"


def test_what_is_typed_is_looked_for_among_all_jobs(cli: Cli) -> None:
    lines = "\n".join(f'{{"id": "job{number}", "command": "true"}}' for number in range(1, 301))
    cli.ok("enqueue", "-f", "-", stdin=lines)
    with Terminal(["cancel"], environment(), 80, 24) as screen:
        screen.shows("> job300", "job299")
        screen.press("job17")
        screen.shows("> job17 ", "job179")
        screen.press("enter")
        assert screen.ends() == 0
    assert cli.job("job17")["state"] == "cancelled"


@pytest.mark.parametrize(("key", "code"), [("escape", 1), ("ctrl-c", 130)])
def test_picking_none_changes_nothing(cli: Cli, key: str, code: int) -> None:
    cli.ok("enqueue", "a", "true")
    cli.ok("enqueue", "b", "true")
    with Terminal(["cancel"], environment(), 50, 12) as screen:
        screen.shows("> b", "  a")
        assert "│" not in screen.text
        screen.press(key)
        assert screen.ends() == code
    assert {job["state"] for job in cli.ok("list", "--json").json} == {"pending"}


def test_logs_without_a_job_of_this_terminal_lets_one_be_picked() -> None:
    bury("alpha", "beta")
    with Terminal(["logs"], environment(), 80, 24) as screen:
        screen.shows("Which job?", "> beta")
        screen.press("zz")
        screen.shows("no job has that")
        screen.press("back", "back", "down", "enter")
        assert screen.ends() == 0
        screen.shows("oh no")
    with Terminal(["show"], {**environment(), "QUEUECTL_HOME": "none"}, 80, 24) as screen:
        assert screen.ends() == 3
        screen.shows("there are no jobs")


def test_of_ids_that_begin_alike_one_is_picked_at_a_terminal(cli: Cli) -> None:
    with open_queue() as queue:
        ids = ["abcdefgh0001", "abcdefgh0002", "zzzzzzzz0003"]
        forms = [queue.request({"id": each, "command": "true"}) for each in ids]
        queue.enqueue([replace(one, spec=replace(one.spec, generated_id=True)) for one in forms])
    assert "fits several jobs" in cli.refused(4, "show", "abcd")
    with Terminal(["cancel", "abcd"], environment(), 80, 24) as screen:
        screen.shows("Which 'abcd…'?", "abcdefgh0001", "abcdefgh0002")
        assert "zzzz" not in screen.text
        screen.press("0002", "enter")
        assert screen.ends() == 0
    assert cli.job("abcdefgh0002")["state"] == "cancelled"
