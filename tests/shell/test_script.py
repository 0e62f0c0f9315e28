"""Commands one a line, from standard input or a file."""

from __future__ import annotations

from pathlib import Path

from tests.cli.harness import Cli, process


def test_lines_of_standard_input_are_commands() -> None:
    result = process(stdin='enqueue a "echo hi"\n\n# nothing\nqueuectl list\nstatus --json')
    assert result.code == 0
    assert result.out.startswith("Enqueued job 'a'\n")
    assert '"pending": 1' in result.out


def test_the_first_failure_ends_a_script_with_its_code(cli: Cli) -> None:
    result = cli(stdin="enqueue a 'true'\nshow missing\nenqueue b 'true'\n")
    assert result.code == 3
    assert "stopped at line 2: show missing" in result.err
    assert [job["id"] for job in cli.ok("list", "--json").json] == ["a"]


def test_a_script_can_keep_going(cli: Cli) -> None:
    script = "bogus\nshow missing\nenqueue b 'true'\n"
    assert cli("--keep-going", stdin=script).code == 2
    assert [job["id"] for job in cli.ok("list", "--json").json] == ["b"]


def test_a_script_may_be_a_file(cli: Cli) -> None:
    Path("s.queuectl").write_text("enqueue a \\\n  'true'\nexit\nbogus\n")
    assert cli.ok("shell", "s.queuectl").out == "Enqueued job 'a'\n"
    Path("bad.queuectl").write_text("bogus\nenqueue b 'true'\n")
    assert cli("shell", "bad.queuectl").code == 2
    assert cli("shell", "bad.queuectl", "--keep-going").code == 2
    assert len(cli.ok("list", "--json").json) == 2


def test_a_shell_inside_a_shell_is_refused(cli: Cli) -> None:
    assert "the shell already" in cli(stdin="shell\n").err


def test_json_needs_no_quotes(cli: Cli) -> None:
    cli.ok(stdin='enqueue {"id": "a", "command": "echo \'hi\'"} --queue q\n')
    job = cli.ok("show", "a", "--json").json
    assert (job["command"], job["queue"]) == ("echo 'hi'", "q")


def test_global_options_hold_for_every_line_and_a_lines_own_for_it_alone(
    cli: Cli, tmp_path: Path
) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    script = f"enqueue a 'true'\nenqueue b 'true' --home {two}\nenqueue c 'true'\n"
    cli.ok("--home", one, stdin=script)
    assert [job["id"] for job in cli.ok("list", "--json", "--home", one).json] == ["a", "c"]
    assert [job["id"] for job in cli.ok("list", "--json", "--home", two).json] == ["b"]


def test_the_words_that_exist_only_here_have_help_and_take_no_arguments(cli: Cli) -> None:
    assert cli(stdin="exit 3\n").err.startswith("queuectl: 'exit' takes no arguments; exit\n")
    helped = cli.ok(stdin="help exit\nexit --help\nexit\nbogus\n")
    assert helped.out == "Leave the shell; workers go on.\n" * 2
    listed = cli.ok(stdin="help\n").out.splitlines()
    assert listed[-1] == "Only here: exit, quit, clear, !COMMAND (the system's shell)."


def test_the_systems_shell_is_within_reach(cli: Cli) -> None:
    assert cli.ok(stdin="!touch made-by-sh\n").code == 0
    assert Path("made-by-sh").exists()
    assert cli(stdin="!exit 3\n").code == 1


def test_an_open_quote_and_bytes_that_are_not_text_are_refused(cli: Cli) -> None:
    assert cli(stdin='enqueue a "open\n').code == 2
    assert cli(stdin=b"enqueue a 'x \xff'\n").code == 2
    assert cli(stdin=b"enqueue a 'x \x00'\n").code == 2
    assert cli(stdin=b"!x \x00'\n").code == 2
