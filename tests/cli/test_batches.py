"""Batches: what is refused, what is passed over, and how far one that is interrupted has come."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from queuectl.queue import Queue, open_queue
from tests.cli.harness import Cli, environment, fill
from tests.terminal import Terminal


def lines_of(ids: Sequence[str]) -> str:
    """Return a file of jobs."""
    return "".join(f'{{"id": "{each}", "command": "true"}}\n' for each in ids)


def jobs_file(number: int) -> str:
    """Write a file of so many jobs, and return its name."""
    Path("jobs.jsonl").write_text(lines_of([f"job{n}" for n in range(number)]))
    return "jobs.jsonl"


@pytest.mark.parametrize("number", [12, 500])
def test_of_many_refusals_ten_are_shown_and_the_others_counted(cli: Cli, number: int) -> None:
    file = jobs_file(number)
    cli.ok("enqueue", "-f", file)
    result = cli("enqueue", "-f", file)
    shown = result.err.splitlines()
    assert (result.code, result.out) == (4, "")
    assert [line.split(": ")[1] for line in shown[:10]] == [f"{file}:{n}" for n in range(1, 11)]
    assert shown[10:] == [
        f"… and {number - 10} more refusals: --refused FILE keeps every one",
        f"0 enqueued, {number} refused",
    ]


def test_a_file_has_every_refusal_with_its_place(cli: Cli) -> None:
    file = jobs_file(30)
    cli.ok("enqueue", "-f", file)
    Path("more.jsonl").write_text(Path(file).read_text() + '{"command": 7}\n' + lines_of(["new"]))
    result = cli("enqueue", "-f", "more.jsonl", "--refused", "refused.txt")
    assert (result.code, result.out) == (4, "Enqueued job 'new'\n")
    assert len(result.err.splitlines()) == 12
    refused = Path("refused.txt").read_text().splitlines()
    assert refused[0] == "more.jsonl:1: job 'job0' exists already (--replace replaces it)"
    assert refused[-1].startswith("more.jsonl:31: command must be")
    assert len(refused) == 31


@pytest.mark.parametrize(
    ("path", "why"), [("jobs.jsonl", "is the file that the jobs are in"), ("no/such", "No such")]
)
def test_a_file_that_cannot_have_the_refusals_is_refused_first(
    cli: Cli, path: str, why: str
) -> None:
    file = jobs_file(2)
    assert why in cli.refused(2, "enqueue", "-f", file, "--refused", path)
    assert len(Path(file).read_text().splitlines()) == 2
    assert cli.ids() == []


@pytest.mark.parametrize("number", [3, 500])
def test_jobs_that_exist_are_passed_over_where_that_is_asked_for(cli: Cli, number: int) -> None:
    file = jobs_file(number)
    cli.ok("enqueue", "job1", "echo first")
    result = cli.ok("enqueue", "-f", file, "--skip-existing")
    assert result.err == f"{number - 1} enqueued, 1 left as they were\n"
    assert cli.job("job1")["command"] == "echo first"
    again = cli.ok("enqueue", "-f", file, "--skip-existing", "--json")
    assert again.json == [{"id": f"job{n}", "result": "exists"} for n in range(number)]


def test_one_job_that_exists_is_passed_over_too(cli: Cli) -> None:
    cli.ok("enqueue", "a", "true")
    words = ("enqueue", "a", "false", "--skip-existing")
    assert cli.ok(*words).out == "Job 'a' exists already\n"
    result = cli.ok(*words, "-p")
    assert (result.out, result.err) == ("a\n", "Job 'a' exists already\n")
    assert cli.job("a")["command"] == "true"


@pytest.mark.parametrize("option", ["--replace", "--atomic"])
def test_passing_over_goes_with_neither_replacing_nor_all_or_nothing(cli: Cli, option: str) -> None:
    line = cli.refused(2, "enqueue", "a", "true", "--skip-existing", option)
    assert f"--skip-existing and {option} exclude each other" in line


def press_after(calls: int, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Press Ctrl-C within so-manieth call of a method of the queue, once its work is done."""
    made, original = [], getattr(Queue, method)

    def pressed(*args: Any, **options: Any) -> Any:
        result = original(*args, **options)
        made.append(method)
        if len(made) == calls:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(Queue, method, pressed)


def test_an_interrupted_file_says_how_far_it_came_and_what_to_type(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jobs_file(5000)
    cli.ok("enqueue", "job7", "true")
    with monkeypatch.context() as patch:
        press_after(1, patch, "enqueue_requests")
        result = cli("enqueue", "-f", file)
    stored = len(cli.ids("--limit", "0"))
    assert result.code == 130
    assert 1 < stored < 5000
    line = result.err.splitlines()[-1]
    assert line == (
        f"interrupted: {stored - 1:,} enqueued, 1 refused; done is all up to line {stored:,}; the"
        f" rest, with the same options: tail -n +{stored + 1} {file} | queuectl enqueue -f -"
    )
    rest = subprocess.run(["tail", "-n", f"+{stored + 1}", file], capture_output=True, check=True)
    cli.ok("enqueue", "-f", "-", stdin=rest.stdout)
    assert len(cli.ids("--limit", "0")) == 5000


def test_an_interrupted_stream_names_the_line_and_a_document_the_job(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"job{n}" for n in range(2500)]
    with monkeypatch.context() as patch:
        press_after(1, patch, "enqueue_requests")
        result = cli("enqueue", "-f", "-", stdin=lines_of(ids))
    assert "standard input is done up to line 1,000: go on with the line after" in result.err
    document = json.dumps([{"id": f"x{n}", "command": "true"} for n in range(2500)])
    with monkeypatch.context() as patch:
        press_after(2, patch, "enqueue_requests")
        result = cli("enqueue", "-f", "-", stdin=document)
    assert "2,000 enqueued; done is all up to job 2000: --skip-existing passes" in result.err
    cli.ok("enqueue", "-f", "-", "--skip-existing", stdin=document)
    assert len(cli.ids("--limit", "0")) == 3500


def test_interrupted_all_or_nothing_is_all_once_it_is_stored(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        press_after(1, patch, "enqueue_requests")
        result = cli("enqueue", "-f", jobs_file(3), "--atomic")
    assert result.code == 130
    assert "3 enqueued" in result.err
    assert cli.ids() == ["job0", "job1", "job2"]


@pytest.mark.parametrize(("verb", "ends"), [("cancel", "cancelled"), ("delete", "deleted")])
def test_interrupted_by_filter_it_says_how_many_are_done_and_the_rest_can_follow(
    cli: Cli, home: Path, verb: str, ends: str
) -> None:
    cli.ok("init")
    fill(home, 4000, 4)
    words = [sys.executable, "-m", "queuectl", verb, "--queue", "default", "--yes"]
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()  # the rest does not fit into the pipe
        child.send_signal(signal.SIGINT)
        child.stdout.read()
        said = child.stderr.read()
    assert child.returncode == 130
    counts = cli.ok("status", "--json").json["counts"]
    done = counts["cancelled"] if verb == "cancel" else 4000 - counts["total"]
    assert 0 < done < 4000
    assert said == f"interrupted: {done:,} {ends}; the same command goes on with the others\n"
    cli.ok(verb, "--queue", "default", "--yes", "--state", "pending")
    counts = cli.ok("status", "--json").json["counts"]
    assert counts["pending"] == 0


def test_an_interrupted_purge_says_how_many_are_deleted(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("init")
    fill(home, 900, 3)
    cli.ok("cancel", "--queue", "default", "--yes")
    purge = Queue.purge

    def pressed(*args: Any) -> Iterator[Any]:
        for step in purge(*args):
            signal.raise_signal(signal.SIGINT)
            yield step

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "purge", pressed)
        result = cli("purge", "--yes")
    left = 900 - len(cli.ids("--limit", "0"))
    assert result.code == 130
    assert result.err == f"interrupted: {left} deleted; the same command goes on with the others\n"
    assert cli.ok("purge", "--yes").out == f"Deleted {900 - left} jobs\n"


def test_refusals_by_filter_are_counted_after_ten_and_kept_in_a_file(cli: Cli) -> None:
    keys = [f"k{n:02}" for n in range(12)]
    with open_queue() as queue:
        for key in keys:
            queue.enqueue(id=f"old-{key}", command="true", unique=key)
            queue.cancel(f"old-{key}")
            queue.enqueue(id=f"new-{key}", command="true", unique=key)
    result = cli("retry", "--state", "cancelled")
    shown = result.err.splitlines()
    assert (result.code, result.out) == (4, "")
    assert shown[0] == ("queuectl: job 'old-k00': another job with its unique key waits or runs")
    assert shown[10:] == ["… and 2 more refusals: --refused FILE keeps every one"]
    result = cli("retry", "--state", "cancelled", "--refused", "refused.txt")
    assert result.err.splitlines()[10:] == ["refused.txt has every refusal"]
    assert len(Path("refused.txt").read_text().splitlines()) == 12


def test_on_a_terminal_ctrl_c_leaves_the_line_on_how_to_go_on(home: Path) -> None:
    file = jobs_file(200_000)
    args = ["enqueue", "-f", file]
    with Terminal(args, {**environment(), "QUEUECTL_HOME": str(home)}, columns=200) as screen:
        screen.shows("jobs enqueued")
        screen.press("ctrl-c")
        assert screen.ends() == 130
        assert "interrupted: " in screen.text
        assert f"{file} | queuectl enqueue -f -" in screen.text
