"""The live view on a real terminal: what it shows, and what every key does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.presentation.layout import width
from queuectl.queue import open_queue
from tests.cli.harness import Cli, bury, claim_next, environment, fill, process, run_next
from tests.stores.server import mongod_in
from tests.terminal import Terminal

Start = Callable[..., Terminal]
SIZES = [(80, 24), (200, 50), (40, 12)]


@pytest.fixture
def watch() -> Iterator[Start]:
    """Start `queuectl watch`, with a filter, on a terminal of some size."""
    with ExitStack() as stack:

        def start(*words: str, columns: int = 80, rows: int = 24) -> Terminal:
            return stack.enter_context(Terminal(["watch", *words], environment(), columns, rows))

        yield start


def some_jobs() -> None:
    """Leave a job in most states, the latest change last."""
    bury("broken")
    with open_queue() as queue:
        for job_id, command in (("done", "echo 漢字 🎉"), ("running", "sleep 9")):
            queue.enqueue([queue.request({"id": job_id, "command": command})])
            if job_id == "done":
                run_next(queue, Outcome(exit_code=0, duration=2.0, stdout="one\ntwo\n"))
        claim_next(queue)
        queue.enqueue([queue.request({"id": "later", "command": "echo later", "in": "2h"})])


def row_of(terminal: Terminal, job_id: str) -> str:
    """Return the first row about a job below the title of the jobs."""
    lines = terminal.lines
    start = next(at for at, line in enumerate(lines) if line.startswith("─ Jobs"))
    return next(line for line in lines[start:] if f" {job_id} " in line)


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_everything_is_told_at_every_size(watch: Start, columns: int, rows: int) -> None:
    some_jobs()
    screen = watch(columns=columns, rows=rows)
    screen.shows("queuectl", "pend", "dead 1", "total 4", "─ Jobs", "broken", "done", "q quit")
    assert all(width(line) <= columns for line in screen.lines)
    assert screen.lines[-1].startswith(" q quit")
    assert "dead (1)" in row_of(screen, "broken")
    if rows >= 24:
        screen.shows(
            "pending 1",
            "processing 1",
            "─ Workers 0",
            "no worker is running",
            "─ Dead letter queue 1",
        )
        assert "1/3" in row_of(screen, "running")
        assert "in 2h" in row_of(screen, "later")
        assert "echo 漢字 🎉" in row_of(screen, "done")
    screen.press("q")
    assert screen.ends() == 0


def test_the_running_jobs_come_first_and_then_the_latest_changes(watch: Start) -> None:
    some_jobs()
    screen = watch()
    screen.shows("broken", "running")
    found = [line.split()[0] for line in screen.lines[6:10]]
    assert found == ["running", "later", "done", "broken"]


def test_the_screen_follows_the_store(watch: Start, cli: Cli) -> None:
    screen = watch()
    screen.shows("no jobs yet: queuectl enqueue hello", "no worker is running", "total 0")
    cli.ok("enqueue", "a", "true")
    screen.shows("pending 1", "a  pending")
    cli.ok("delete", "a")
    screen.shows("no jobs yet")


def test_workers_are_shown_with_the_job_in_hand_and_its_runtime(watch: Start, cli: Cli) -> None:
    cli.ok("enqueue", "a", "sleep 30")
    process("worker", "start", "--count", "2")
    screen = watch()
    screen.shows("─ Workers 2, 1 busy", "idle", "busy  a  0:0", "sleep 30")
    screen.press("c")
    screen.shows("Cancel job 'a'? y/n")
    screen.press("y")
    screen.shows("cancelled 1", "─ Workers 2 ─", "0 completed/min")


def test_the_rate_counts_what_is_completed_while_one_looks(watch: Start) -> None:
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true"})])
        screen = watch()
        screen.shows("0 completed/min", "a  pending")
        run_next(queue, Outcome(exit_code=0))
        screen.shows("completed 1", "█")
        assert "\n 0 completed/min" not in screen.text


def test_keys_move_between_rows_and_panes(watch: Start) -> None:
    some_jobs()
    screen = watch()
    screen.shows("done", "q quit")
    screen.press("j", "down", "k", "down", "c")
    screen.shows("Cancel job 'done'? y/n")
    screen.press("n", "end", "d")
    screen.shows("Delete job 'broken'? y/n")
    screen.press("escape", "g", "c")
    screen.shows("Cancel job 'running'? y/n")
    screen.press("n", "tab", "d")
    screen.shows("Delete job 'broken'? y/n")
    screen.press("n")
    screen.shows("q quit")
    assert "deleted" not in screen.text


def test_the_chosen_job_stays_chosen_when_others_come(watch: Start, cli: Cli) -> None:
    for job_id in ("a", "b"):
        cli.ok("enqueue", job_id, "true")
    screen = watch()
    screen.shows("a  pending", "b  pending")
    screen.press("end")
    for job_id in ("c", "d"):
        cli.ok("enqueue", job_id, "true")
    screen.shows("d  pending")
    screen.press("d", "y")
    screen.shows("Deleted job 'a'", "pending 3")


def test_a_job_is_retried_and_a_refusal_is_told(watch: Start) -> None:
    bury("broken")
    screen = watch()
    screen.shows("dead (1)")
    screen.press("r")
    screen.shows("Retried job 'broken'", "pending 1")
    screen.press("r")
    screen.shows("job 'broken' is pending; there is nothing to retry")
    screen.press("/")
    screen.shows("/▏")
    screen.loses("nothing to retry")


def test_a_job_and_its_queue_are_paused_and_go_on(watch: Start, cli: Cli) -> None:
    cli.ok("enqueue", "train", "true", "--queue", "gpu")
    screen = watch()
    screen.shows("train")
    screen.press("p")
    screen.shows("Paused job 'train'")
    screen.until(lambda: " paused " in row_of(screen, "train"), "the reason")
    screen.press("p")
    screen.shows("Resumed job 'train'")
    screen.press("P")
    screen.shows("Paused queue 'gpu'", "Jobs, latest changes first, paused: gpu")
    screen.shows("queue gpu is paused")
    screen.press("P")
    screen.shows("Resumed queue 'gpu'")
    screen.loses("paused: gpu")


def test_a_filter_is_typed_and_taken_back(watch: Start) -> None:
    some_jobs()
    screen = watch()
    screen.shows("broken", "later")
    screen.press("/", "dead,pendin", "g", "x", "back")
    screen.shows("/dead,pending")
    screen.loses(" done ")
    screen.press("enter")
    screen.shows("Jobs that match 'dead,pending'", "later")
    screen.press("escape")
    screen.shows("latest changes first", " done ")
    screen.press("/", "LATE", "enter")
    screen.loses(" done ")
    screen.shows("later  pending")


def test_a_filter_is_named_on_the_command_line(watch: Start, cli: Cli) -> None:
    some_jobs()
    cli.ok("enqueue", "other", "true", "--queue", "gpu")
    screen = watch("queue=gpu")
    screen.shows("other  pending", "match 'queue=gpu'")
    assert " done " not in screen.text


def log_of(home: Path, job_id: str, run: int) -> Path:
    """Return the file of a run's standard output, its directory made."""
    folder = home / "logs" / "jobs" / job_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run}.out"


def test_a_log_is_read_and_followed(watch: Start, cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "seq 100")
    with open_queue() as queue:
        claim_next(queue)
    path = log_of(home, "a", 1)
    path.write_text("".join(f"line {n}\n" for n in range(100)))
    path.with_suffix(".err").write_text("\x1b[31moh\x1b[0m\x07\n")
    screen = watch()
    screen.shows("a  processing")
    screen.press("enter")
    screen.shows("line 99", "run 1 of 1", "a  processing for")
    with path.open("a") as file:
        file.write("and more 🎉\n")
    screen.shows("and more")
    screen.press("k", "k")
    screen.loses("and more")
    screen.resize(40, 12)
    screen.shows("q back", "line 9")
    screen.press("G")
    screen.shows("and more")
    screen.press("tab")
    screen.shows("oh\\x07")
    screen.loses("and more")
    screen.resize(80, 24)
    screen.press("tab")
    screen.shows("both   stdout")
    screen.loses("oh\\x07")
    screen.press("tab")
    screen.shows("and more", "line 98")
    screen.press("q")
    screen.shows("─ Jobs")


def test_earlier_runs_are_read_too(watch: Start, cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "exit 1", "--max-retries", "2", "--backoff-base", "0")
    with open_queue() as queue:
        for run in (1, 2):
            log_of(home, "a", run).write_text(f"this is run {run}\n")
            run_next(queue, Outcome(exit_code=1, error="Exit code 1"))
    screen = watch()
    screen.shows("dead (1)")
    screen.press("l")
    screen.shows("this is run 2", "run 2 of 2")
    screen.press("[")
    screen.shows("this is run 1", "run 1 of 2")
    screen.press("]", "d", "y")
    screen.shows("Deleted job 'a'")


def test_a_log_is_in_the_record_or_there_is_none_yet(watch: Start, cli: Cli) -> None:
    bury("broken")  # on another host
    cli.ok("enqueue", "a", "true")
    screen = watch()
    screen.shows("broken", "a       pending")
    screen.press("enter")
    screen.shows("it has not run yet")
    screen.press("q", "down", "enter")
    screen.shows("oh no", "stderr 6 bytes")


def test_the_help_tells_every_key(watch: Start) -> None:
    screen = watch()
    screen.shows("q quit")
    screen.press("?")
    screen.shows("the first, the last", "cancel the job", "filter: words", "pause the job")
    screen.press("q")
    screen.shows("─ Jobs")


def test_the_terminal_is_resized(watch: Start) -> None:
    some_jobs()
    screen = watch()
    screen.shows("─ Dead letter queue 1")
    screen.resize(200, 50)
    screen.until(lambda: screen.lines[-1].startswith(" q quit"), "foot")
    screen.shows("took 2.0 s")
    screen.resize(30, 8)
    screen.until(lambda: screen.lines[-1].startswith(" q quit"), "foot")
    assert all(width(line) <= 30 for line in screen.lines)


def test_control_c_ends_it_with_zero(watch: Start) -> None:
    screen = watch()
    screen.shows("q quit")
    screen.press("ctrl-c")
    assert screen.ends() == 0


def test_a_long_backlog_is_looked_at_as_fast(watch: Start, home: Path) -> None:
    fill(home, 20_000, digits=5)
    screen = watch()
    screen.shows("pending 20,000", "job19999")
    screen.press("end")
    screen.loses("job19999")
    screen.press("end", "/", "job00007")
    screen.shows("job00007  pending")


def test_a_store_that_is_away_is_told_of_and_found_again(
    tmp_path: Path, watch: Start, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mongod_in(tmp_path / "mongod") as mongod:
        monkeypatch.setenv("QUEUECTL_STORE", f"mongodb://{mongod.address}/jobs_of_this_test")
        cli.ok("enqueue", "a", "true")
        screen = watch()
        screen.shows("a  pending")
        mongod.kill()
        screen.shows("trying again")
        assert "a  pending" in screen.text
        screen.press("?")
        screen.shows("the first, the last")
        screen.press("x")
        mongod.start()
        screen.loses("trying again")
        screen.press("q")
        assert screen.ends() == 0


def test_it_is_refused_away_from_a_terminal() -> None:
    refused = process("watch")
    assert (refused.code, refused.out) == (2, "")
    assert "watch needs a terminal" in refused.err


def test_colours_can_be_refused(watch: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    bury("broken")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = watch()
    screen.shows("dead (1)")
    assert screen.colors == {"default"}
