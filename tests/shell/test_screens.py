"""What a person sees at the prompt, row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.harness import Cli, bury, environment, fill
from tests.terminal import Shell

OpenShell = Callable[..., Shell]
AWAY = {"QUEUECTL_STORE": "mongodb://127.0.0.1:9/jobs"}
SUGGESTED = "626262"
"""The grey of what the history suggests, on a terminal of 256 colours."""


def test_a_newcomer_is_told_three_commands(open_shell: OpenShell) -> None:
    shell = open_shell(80, 24)
    shell.shows("Tab completes")
    shell.status("~/home/queue.db | no worker | no jobs")
    assert shell.lines[:7] == [
        "queuectl 0.1.0, store ~/home/queue.db",
        "No jobs yet. Three commands to begin with:",
        '  enqueue hello "echo Hello"  put a job into the queue',
        "  worker start                start a worker, which runs it",
        "  list                        see what became of it",
        "",
        "queuectl >",
    ]
    assert shell.lines[-2] == " Tab completes, help lists the commands, Ctrl-D leaves"
    assert all(not row for row in shell.lines[7:-2])


def test_from_nothing_to_a_finished_a_failed_and_a_retried_job(open_shell: OpenShell) -> None:
    shell = open_shell(80, 24)
    shell.enter('enqueue hello "echo Hello"')
    shell.shows("Enqueued job 'hello'")
    shell.status("1 pending")
    shell.enter("worker start")
    shell.shows("Started 1 worker(s)", "hello completed in ")
    shell.status("1 worker | 1 completed")
    shell.enter('enqueue bad "exit 3" --max-retries 1')
    shell.shows("bad dead: Exit code 3")
    shell.status("1 dead | 1 completed")
    shell.enter("dlq retry bad")
    shell.until(lambda: shell.text.count("bad dead: Exit code 3") == 2, "a second notice")
    shell.frees()


def test_a_refused_line_leaves_the_shell_alive(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.enter("statuss")
    shell.shows("did you mean 'status'")
    shell.enter("!echo $((6 * 7))")
    shell.until(lambda: "42" in shell.lines, "output of the system's shell")
    shell.frees()
    shell.press("ctrl-d")
    assert shell.ends() == 0


def test_workers_outlive_the_shell(cli: Cli, open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.enter("worker start --count 2")
    shell.shows("Started 2 worker(s)")
    shell.enter("quit")
    assert shell.ends() == 0
    assert len(cli.ok("status", "--json").json["workers"]) == 2


def test_the_prompt_has_a_row_of_its_own_after_a_command_was_stopped(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.enter("enqueue a 'true'")
    shell.enter("logs -f a")
    shell.shows("'a' is pending, and no worker is running")
    shell.press("ctrl-c")
    shell.frees()
    assert shell.lines[shell.screen.cursor.y - 1] == "^C"
    shell.enter("!echo begun; sleep 60")
    shell.until(lambda: "begun" in shell.lines, "output of the system's shell")
    shell.press("ctrl-c")
    shell.frees()
    assert shell.lines[shell.screen.cursor.y - 1] == "^C"


def test_a_job_that_is_waited_for_is_not_told_of_twice(open_shell: OpenShell) -> None:
    shell = open_shell(100, 30)
    shell.enter("run a 'echo from-a'")
    shell.shows("from-a")
    shell.enter("run b 'echo from-b'")
    shell.status("2 completed")
    shell.enter("status")
    shell.frees()
    assert "completed in" not in shell.text


def test_a_notice_leaves_what_is_being_typed_alone(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.enter("worker start")
    shell.shows("Started 1")
    shell.enter("enqueue slow 'while [ ! -e go ]; do sleep 0.05; done'")
    shell.status("1 processing")
    shell.press("list --limit 5")
    shell.shows("queuectl > list --limit 5")
    Path("go").touch()
    shell.shows("slow completed in")
    shell.is_at("list --limit 5")
    rows = shell.lines
    assert rows.index("queuectl > list --limit 5") == 1 + next(
        at for at, row in enumerate(rows) if row.startswith("slow completed in")
    )


def test_job_ids_are_completed_with_state_and_command(cli: Cli, open_shell: OpenShell) -> None:
    bury("broken")
    cli.ok("enqueue", "nightly-backup", "./backup.sh 你好 🎉")
    shell = open_shell()
    shell.status("1 pending")
    shell.press("show ")
    shell.shows("nightly-backup  pending     ./backup.sh 你好 🎉", "broken")
    shell.press("nig", "tab")
    shell.is_at("show nightly-backup")
    shell.clear()
    shell.press("dlq retry ")
    shell.shows("dead        false")
    assert "pending     ./backup.sh" not in shell.text


def test_a_word_typed_before_the_jobs_are_known_gets_its_menu_when_they_are(
    cli: Cli, open_shell: OpenShell
) -> None:
    shell = open_shell()
    shell.status("no jobs")
    shell.press("cancel sleep")
    shell.is_at("cancel sleep")
    cli.ok("enqueue", "sleep 5 && echo done")
    shell.shows("pending     sleep 5 && echo done")


def test_settings_queues_and_options_are_completed(cli: Cli, open_shell: OpenShell) -> None:
    cli.ok("enqueue", "a", "true", "--queue", "imports")
    cli.ok("config", "set", "max-retries", "7")
    shell = open_shell(120, 30)
    shell.status("1 pending")
    shell.press("config get max_r")
    shell.shows("= 7  attempts in all")
    shell.clear()
    shell.press("list --queue ")
    shell.shows("imports", "1 job, 1 pending")
    shell.clear()
    shell.press("list --st")
    shell.shows("--state", "Only these states.")
    shell.clear()
    shell.press("list --state pending,c")
    shell.shows("pending,completed", "pending,cancelled")


def test_files_are_completed_after_an_at_sign_and_an_option(open_shell: OpenShell) -> None:
    Path("my jobs").mkdir()
    Path("my jobs", "one.json").write_text('{"id": "one", "command": "true"}')
    shell = open_shell()
    shell.press("enqueue @my", "tab")
    shell.shows("queuectl > enqueue '@my jobs/'")
    shell.press("o", "tab")
    shell.shows("queuectl > enqueue '@my jobs/one.json'")
    shell.press("enter")
    shell.shows("Enqueued job 'one'")
    shell.frees()
    shell.press("enqueue --file my", "tab")
    shell.shows("queuectl > enqueue --file 'my jobs/'")


def test_enter_takes_a_completion_before_it_runs_the_line(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.press("list --sta", "tab", "tab", "enter")
    shell.is_at("list --state pending")
    assert "no jobs yet" not in shell.text
    shell.press("enter")
    shell.shows("no jobs yet")


@pytest.mark.parametrize(("columns", "rows"), [(200, 50), (80, 24), (40, 12)])
def test_the_rows_at_the_bottom_fit_every_terminal(
    columns: int, rows: int, open_shell: OpenShell
) -> None:
    shell = open_shell(columns, rows)
    shell.status("no worker | no jobs")
    shell.press("enqueue")
    shell.shows(" enqueue [ID]")
    assert shell.lines[-2].startswith(" enqueue [ID]")
    assert all(len(row) <= columns for row in shell.lines)


@pytest.mark.parametrize(("rows", "free"), [(50, 8), (24, 4), (12, 2)])
def test_a_low_terminal_keeps_few_rows_for_the_menu(
    rows: int, free: int, open_shell: OpenShell
) -> None:
    shell = open_shell(80, rows)
    shell.enter(f"!seq {rows}")
    shell.frees()
    shell.status("no jobs")
    shell.shows("Tab completes")
    assert [row for row in shell.lines if not row] == [""] * (free - 1)


def test_a_resize_draws_everything_anew(open_shell: OpenShell) -> None:
    shell = open_shell(120, 40)
    shell.status("no jobs")
    shell.press("list --state pending")
    shell.shows("queuectl > list --state pending")
    shell.resize(40, 20)
    shell.status("~/home/queue.db | no worker | no jobs")
    shell.shows("queuectl > list --state pending")
    shell.resize(120, 40)
    shell.status("~/home/queue.db | no worker | no jobs")
    shell.press("enter")
    shell.shows("no jobs yet")


def test_wide_characters_are_typed_and_kept(cli: Cli, open_shell: OpenShell) -> None:
    shell = open_shell(40, 20)
    shell.press("enqueue wide 'echo 你好 🎉 and more of it'", "enter")
    shell.shows("Enqueued job 'wide'")
    assert cli.ok("show", "wide", "--json").json["command"] == "echo 你好 🎉 and more of it"


def test_a_store_that_goes_away_is_told_of_and_comes_back(
    home: Path, cli: Cli, open_shell: OpenShell
) -> None:
    cli.ok("enqueue", "a", "true")
    shell = open_shell()
    shell.status("1 pending")
    home.rename(home.with_name("elsewhere"))
    shell.status("store away", "is gone")
    shell.press("list --sta")
    shell.shows("queuectl > list --sta", "Only these states.")
    home.with_name("elsewhere").rename(home)
    shell.status("no worker | 1 pending")
    assert "Traceback" not in shell.text
    assert shell.prompt_row.startswith("queuectl > list --sta")


def test_a_server_that_does_not_answer_blocks_nothing_and_is_told_of(
    open_shell: OpenShell,
) -> None:
    shell = open_shell(**AWAY)
    shell.press("show x")
    shell.is_at("show x")
    shell.status("looking")
    shell.status("store away: MongoDB at 127.0.0.1:9 does not answer")
    shell.clear()
    shell.enter("exit")
    assert shell.ends() == 0


def test_pasted_lines_are_run_one_after_another(cli: Cli, open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.status("no jobs")
    shell.press("\x1b[200~enqueue a 'true'\renqueue b \\\r 'true'\x1b[201~")
    shell.shows("         > enqueue b")
    shell.press("enter")
    shell.shows("Enqueued job 'a'", "Enqueued job 'b'")
    assert len(cli.ok("list", "--json").json) == 2


def test_a_continued_line_is_one_entry_of_the_history(home: Path, open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.press("enqueue a \\\r")
    shell.shows("         >")
    shell.press("'echo hi' --env TOKEN=hunter2\r")
    shell.shows("Enqueued job 'a'")
    shell.enter("list --limit 3")
    shell.frees()
    shell.press("up")
    shell.is_at("list --limit 3")
    history = (home / "history").read_text()
    assert "hunter2" not in history
    assert "list --limit 3" in history


def test_a_history_that_cannot_be_written_is_kept_for_the_session(
    home: Path, open_shell: OpenShell
) -> None:
    home.mkdir(mode=0o700)
    shell = open_shell()
    shell.shows("Tab completes")
    (home / "history").unlink()
    (home / "history").mkdir()
    shell.enter("list --limit 3")
    shell.shows("no jobs yet")
    shell.frees()
    assert "Traceback" not in shell.text
    shell.press("up")
    shell.is_at("list --limit 3")


def test_the_history_suggests_the_rest_of_a_line(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.enter("list --limit 42")
    shell.frees()
    shell.press("list --l")
    shell.is_at("list --limit 42")
    shell.until(lambda: shell.look_of("imit 42") == (SUGGESTED, False), "suggestion")
    shell.press("right", "enter")
    shell.until(lambda: shell.text.count("no jobs yet") == 2, "it runs")


def test_keys_pressed_before_the_editor_is_there_are_kept() -> None:
    with Shell([], environment()) as shell:
        shell.press("enqueue early 'true'\r")
        shell.shows("Enqueued job 'early'")


def test_what_is_typed_before_the_editor_is_there_is_shown_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    variables = {**environment(), "EDITOR_MAY_COME": str(gate)}
    with Shell([], variables, columns=40, module="tests.shell.unhurried") as shell:
        shell.frees()
        shell.press("enqueue early 'echo a line that is longer than the screen'", "enter", "li")
        shell.shows("longer than the screen'^Mli")
        gate.touch()
        shell.shows("Enqueued job 'early'")
        shell.is_at("li")
        assert shell.text.count("queuectl >") == 2
        assert "^M" not in shell.text
        assert "enqueue early" in shell.text


def test_colours_are_left_out_when_asked(open_shell: OpenShell) -> None:
    shell = open_shell(NO_COLOR="1")
    shell.status("no jobs")
    shell.press("statuss ")
    shell.shows("no such command")
    assert shell.colors == {"default"}
    shell.clear()
    shell.enter("list --limit 42")
    shell.frees()
    shell.press("list --l")
    shell.is_at("list --limit 42")
    shell.until(lambda: shell.look_of("imit 42") == ("default", True), "suggestion")


def test_known_and_unknown_words_have_their_colours(open_shell: OpenShell) -> None:
    shell = open_shell()
    shell.press("list --limit 5 # why")
    shell.is_at("list --limit 5 # why")
    assert shell.look_of("list") == ("green", False)
    assert shell.look_of("--limit") == ("cyan", False)
    shell.clear()
    shell.press("statuss ")
    shell.shows("no such command")
    assert shell.look_of("statuss") == ("red", False)


def test_a_hundred_thousand_jobs_are_completed_from(home: Path, open_shell: OpenShell) -> None:
    fill(home, 100_000, digits=6)
    shell = open_shell()
    shell.status("100,000 pending")
    shell.press("show job0001")
    shell.shows("job000199  pending")
    shell.press("down")
    shell.is_at("show job000199")
