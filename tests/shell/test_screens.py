"""What a person sees at the prompt, row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.queue import open_queue
from tests.cli.harness import Cli, bury
from tests.shell.terminal import CONTROL_C, DOWN, TAB, UP, Terminal, read_history

OpenTerminal = Callable[..., Terminal]


def test_a_newcomer_is_told_three_commands(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(80, 24)
    terminal.wait_for("Tab completes")
    terminal.wait_for_status("~/home/queue.db | no worker | no jobs")
    assert terminal.rows()[:7] == [
        "queuectl 0.1.0, store ~/home/queue.db",
        "No jobs yet. Three commands to begin with:",
        '  enqueue hello "echo Hello"  put a job into the queue',
        "  worker start                start a worker, which runs it",
        "  list                        see what became of it",
        "",
        "queuectl >",
    ]
    assert terminal.rows()[-2] == " Tab completes, help lists the commands, Ctrl-D leaves"
    assert all(not row for row in terminal.rows()[7:-2])


def test_from_nothing_to_a_finished_a_failed_and_a_retried_job(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(80, 24)
    terminal.enter('enqueue hello "echo Hello"')
    terminal.wait_for("Enqueued job 'hello'")
    terminal.wait_for_status("1 pending")
    terminal.enter("worker start")
    terminal.wait_for("Started 1 worker(s)", "hello completed in 0.")
    terminal.wait_for_status("1 worker | 1 completed")
    terminal.enter('enqueue bad "exit 3" --max-retries 1')
    terminal.wait_for("bad dead: Exit code 3")
    terminal.wait_for_status("1 dead | 1 completed")
    terminal.enter("dlq retry bad")
    terminal.wait_until(
        lambda: terminal.text().count("bad dead: Exit code 3") == 2, "a second notice"
    )
    terminal.wait_until(lambda: terminal.prompt_row() == "queuectl >", "an empty prompt")


def test_a_job_that_is_waited_for_is_not_told_of_twice(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(100, 30)
    terminal.enter("run a 'echo from-a'")
    terminal.wait_for("from-a")
    terminal.enter("run b 'echo from-b'")
    terminal.wait_for_status("2 completed")
    assert "completed in" not in terminal.text()


def test_a_notice_leaves_what_is_being_typed_alone(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.enter("worker start")
    terminal.wait_for("Started 1")
    terminal.enter("enqueue slow 'while [ ! -e go ]; do sleep 0.05; done'")
    terminal.wait_for_status("1 processing")
    terminal.type("list --limit 5")
    terminal.wait_for("queuectl > list --limit 5")
    Path("go").touch()
    terminal.wait_for("slow completed in")
    terminal.wait_until(lambda: terminal.prompt_row() == "queuectl > list --limit 5", "the line")
    rows = terminal.rows()
    assert rows.index("queuectl > list --limit 5") == 1 + next(
        at for at, row in enumerate(rows) if row.startswith("slow completed in")
    )


def test_job_ids_are_completed_with_state_and_command(
    cli: Cli, open_terminal: OpenTerminal
) -> None:
    bury("broken")
    cli.ok("enqueue", "nightly-backup", "./backup.sh 你好 🎉")
    terminal = open_terminal()
    terminal.wait_for_status("1 pending")
    terminal.type("show ")
    terminal.wait_for("nightly-backup  pending     ./backup.sh 你好 🎉", "broken")
    terminal.type("nig" + TAB)
    terminal.wait_until(lambda: terminal.prompt_row() == "queuectl > show nightly-backup", "the id")
    terminal.type(CONTROL_C + "dlq retry ")
    terminal.wait_for("dead        false")
    assert "pending     ./backup.sh" not in terminal.text()


def test_a_job_is_found_by_its_command(cli: Cli, open_terminal: OpenTerminal) -> None:
    cli.ok("enqueue", "sleep 5 && echo done")
    terminal = open_terminal()
    terminal.wait_for_status("1 pending")
    terminal.type("cancel sleep")
    terminal.wait_for("pending     sleep 5 && echo done")


def test_settings_queues_and_options_are_completed(cli: Cli, open_terminal: OpenTerminal) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "imports")
    cli.ok("config", "set", "max-retries", "7")
    terminal = open_terminal(120, 30)
    terminal.wait_for_status("1 pending")
    terminal.type("config get max_r")
    terminal.wait_for("= 7  attempts in all")
    terminal.type(CONTROL_C + "list --queue ")
    terminal.wait_for("imports", "1 pending, 1 jobs")
    terminal.type(CONTROL_C + "list --st")
    terminal.wait_for("--state", "Only these states.")
    terminal.type(CONTROL_C + "list --state pending,c")
    terminal.wait_for("pending,completed", "pending,cancelled")


def test_files_are_completed_after_an_at_sign_and_an_option(open_terminal: OpenTerminal) -> None:
    Path("my jobs").mkdir()
    Path("my jobs", "one.json").write_text('{"id": "one", "command": "true"}')
    terminal = open_terminal()
    terminal.type("enqueue @my" + TAB)
    terminal.wait_for("queuectl > enqueue '@my jobs/'")
    terminal.type("o" + TAB)
    terminal.wait_for("queuectl > enqueue '@my jobs/one.json'")
    terminal.type("\r")
    terminal.wait_for("Enqueued job 'one'")
    terminal.type("enqueue --file my" + TAB)
    terminal.wait_for("queuectl > enqueue --file 'my jobs/'")


def test_enter_takes_a_completion_before_it_runs_the_line(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.type("list --sta" + TAB + TAB + "\r")
    line = "queuectl > list --state pending"
    terminal.wait_until(lambda: terminal.prompt_row() == line, "the state")
    assert "no jobs yet" not in terminal.text()
    terminal.type("\r")
    terminal.wait_for("no jobs yet")


def test_the_word_at_the_cursor_is_explained(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.type("list --limit ")
    terminal.wait_for(" --limit N At most N; 0 is all.")
    terminal.type(CONTROL_C + "wait ")
    terminal.wait_for(" wait [ID]... Wait until jobs are completed, dead or cancelled.")
    terminal.type(CONTROL_C + "statsu ")
    terminal.wait_for(" no such command 'statsu' (did you mean 'status'?)")
    terminal.type(CONTROL_C + "!ls")
    terminal.wait_for(" !COMMAND Run a command with the system's shell.")


@pytest.mark.parametrize(("columns", "rows"), [(200, 50), (80, 24), (40, 12)])
def test_the_rows_at_the_bottom_fit_every_terminal(
    columns: int, rows: int, open_terminal: OpenTerminal
) -> None:
    terminal = open_terminal(columns, rows)
    terminal.wait_for_status("no worker | no jobs")
    terminal.type("enqueue")
    terminal.wait_for(" enqueue [ID]")
    assert terminal.rows()[-2].startswith(" enqueue [ID]")
    assert all(len(row) <= columns for row in terminal.rows())


def test_a_resize_draws_everything_anew(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(120, 40)
    terminal.wait_for_status("no jobs")
    terminal.type("list --state pending")
    terminal.wait_for("queuectl > list --state pending")
    terminal.resize(40, 20)
    terminal.wait_for_status("~/home/queue.db | no worker | no jobs")
    terminal.wait_for("queuectl > list --state pending")
    terminal.resize(120, 40)
    terminal.wait_for_status("~/home/queue.db | no worker | no jobs")
    terminal.type("\r")
    terminal.wait_for("no jobs yet")


def test_wide_characters_are_typed_and_kept(cli: Cli, open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(40, 20)
    terminal.type("enqueue wide 'echo 你好 🎉 and more of it'\r")
    terminal.wait_for("Enqueued job 'wide'")
    assert cli.ok("show", "wide", "--json").json["command"] == "echo 你好 🎉 and more of it"


def test_a_store_that_goes_away_is_told_of_and_comes_back(
    home: Path, cli: Cli, open_terminal: OpenTerminal
) -> None:
    cli.ok("enqueue", "a", "true")
    terminal = open_terminal()
    terminal.wait_for_status("1 pending")
    home.rename(home.with_name("elsewhere"))
    terminal.wait_for_status("store away", "is gone")
    terminal.type("list --sta")
    terminal.wait_for("queuectl > list --sta", "Only these states.")
    home.with_name("elsewhere").rename(home)
    terminal.wait_for_status("no worker | 1 pending")
    assert "Traceback" not in terminal.text()
    assert terminal.prompt_row().startswith("queuectl > list --sta")


def test_a_server_that_does_not_answer_blocks_nothing(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(QUEUECTL_STORE="mongodb://127.0.0.1:9/jobs")
    terminal.type("show x")
    terminal.wait_for("queuectl > show x", "looking")
    terminal.wait_for_status("store away: MongoDB at 127.0.0.1:9 does not answer")
    terminal.type(CONTROL_C + "exit\r")
    terminal.wait_until(lambda: not terminal.child.isalive(), "end")


def test_pasted_lines_are_run_one_after_another(cli: Cli, open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.wait_for_status("no jobs")
    terminal.type("\x1b[200~enqueue a 'true'\renqueue b \\\r 'true'\x1b[201~")
    terminal.wait_for("         > enqueue b")
    terminal.type("\r")
    terminal.wait_for("Enqueued job 'a'", "Enqueued job 'b'")
    assert len(cli.ok("list", "--json").json) == 2


def test_a_continued_line_is_one_entry_of_the_history(
    home: Path, open_terminal: OpenTerminal
) -> None:
    terminal = open_terminal()
    terminal.type("enqueue a \\\r")
    terminal.wait_for("         >")
    terminal.type("'echo hi' --env TOKEN=hunter2\r")
    terminal.wait_for("Enqueued job 'a'")
    terminal.enter("list --limit 3")
    terminal.wait_until(lambda: terminal.prompt_row() == "queuectl >", "an empty prompt")
    terminal.type(UP)
    terminal.wait_until(lambda: terminal.prompt_row() == "queuectl > list --limit 3", "the last")
    assert "hunter2" not in read_history(home)
    assert "list --limit 3" in read_history(home)


def test_the_history_suggests_the_rest_of_a_line(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.enter("list --limit 42")
    terminal.wait_for("no jobs yet")
    terminal.type("list --l")
    terminal.wait_until(lambda: terminal.prompt_row() == "queuectl > list --limit 42", "the rest")
    terminal.type("\x1b[C\r")
    terminal.wait_until(lambda: terminal.text().count("no jobs yet") == 2, "it runs")


def test_keys_pressed_before_the_editor_is_there_are_kept() -> None:
    terminal = Terminal()
    try:
        terminal.type("enqueue early 'true'\r")
        terminal.wait_for("Enqueued job 'early'")
    finally:
        terminal.close()


def test_colours_are_left_out_when_asked(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(NO_COLOR="1")
    terminal.wait_for_status("no jobs")
    terminal.type("statsu ")
    terminal.wait_for("no such command")
    assert terminal.colours() == {"default"}


def test_known_and_unknown_words_have_their_colours(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()
    terminal.type("list --limit 5 # why")
    terminal.wait_for("# why")
    row = terminal.prompt_row()
    assert terminal.colour_of("list") == "green"
    assert terminal.colour_of("--limit") == "cyan"
    assert row.startswith("queuectl > list --limit 5 # why")
    terminal.type(CONTROL_C + "statsu ")
    terminal.wait_for("no such command")
    assert terminal.colour_of("statsu") == "red"


def test_the_help_tells_what_only_the_shell_knows(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(100, 60)
    terminal.enter("help")
    terminal.wait_for("Only here:", "!COMMAND    Run a command with the system's shell.")


def test_a_hundred_thousand_jobs_are_completed_from(open_terminal: OpenTerminal) -> None:
    with open_queue() as queue:
        command = {"command": "true"}
        queue.enqueue([queue.request({"id": f"job{n:06}", **command}) for n in range(100_000)])
    terminal = open_terminal()
    terminal.wait_for_status("100,000 pending")
    terminal.type("show job0001")
    terminal.wait_for("job000199  pending")
    terminal.type(DOWN)
    terminal.wait_until(lambda: terminal.prompt_row().startswith("queuectl > show job0001"), "it")
