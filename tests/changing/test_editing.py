"""Changing jobs that wait in an editor."""

from __future__ import annotations

import stat
from datetime import datetime, timezone
from pathlib import Path
from shlex import quote

import pytest

from queuectl.cli import edit as job_file
from queuectl.domain import state_machine
from queuectl.domain.job import State
from queuectl.domain.job_fields import Spec
from tests.changing.conftest import Cli
from tests.cli.harness import claim_next, environment
from tests.stores.conftest import on_one_store
from tests.terminal import Terminal
from tests.worker.fleet import Fleet

MANY_LINES = 'set -e\necho "it\'s" """y""" \\n\n\ttail -f \'a b\'\n'
HARD_TEXTS = [
    "\n a", "\r\n", "a\r", "'\"", "'''\"\"\"\n", "\\\n", "\x01\n'", "\t", "'''", "a\n'", '"""',
    "\\", "a\n\\", "\n\n", "# x", "\ue000\n\u2028", "é\n\n\"''\"", "",
]  # fmt: skip


class Editor:
    """A program that takes the place of a person's editor: it edits with a script of sed."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = root / "editor"
        self.seen = root / "seen"
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"sh '{self._path}'")
        self.does("true")

    def does(self, script: str) -> None:
        """Say what it does to the file `$1`, once a copy of that is taken."""
        self._path.write_text(f'cp -p "$1" {self.seen}\n{script}\n')

    def types(self, *scripts: str) -> None:
        """Have it edit with some scripts of sed."""
        self.does("".join(f'sed -i -e {quote(script)} "$1"\n' for script in scripts))


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """The editor of a person who has typed nothing yet."""
    return Editor(tmp_path, monkeypatch)


def kept(fleet: Fleet) -> list[Path]:
    """Return the files of editors that are left in the home."""
    return sorted(fleet.home.root.glob("edit-*"))


def test_several_jobs_are_changed_in_one_file(fleet: Fleet, cli: Cli, editor: Editor) -> None:
    fleet.enqueue("true", "a", env={"REGION": "1"})
    fleet.enqueue(["make", "all"], "b", labels=["x"], timeout=5)
    editor.types(
        's/^priority = 0/priority = "high"/', "s/^command = .true./command = \"echo 'a b'\"/",
        's/"all"/"all tests"/', "/^labels/d", "/^timeout = 5/d",
        's/^env.REGION = "1"/env.REGION = 2/',
    )  # fmt: skip
    assert cli.ok("edit", "a", "b").out == "Changed job 'a'\nChanged job 'b'\n"
    a, b = fleet.job("a").spec, fleet.job("b").spec
    assert (a.priority, a.command, a.env) == (10, "echo 'a b'", (("REGION", "2"),))
    assert (b.priority, b.command, b.labels, b.timeout) == (10, ("make", "all tests"), (), 0)
    assert kept(fleet) == []
    assert stat.S_IMODE(editor.seen.stat().st_mode) == 0o600


@on_one_store
def test_a_file_that_is_left_as_it_is_changes_nothing(
    fleet: Fleet, cli: Cli, editor: Editor
) -> None:
    fleet.enqueue(MANY_LINES, "a", env={"TOKEN": "s3cret"}, run_at="in 1 day", unique="k")
    before = fleet.job("a")
    assert cli.ok("edit", "a").err == "nothing was changed\n"
    editor.does(': > "$1"')
    assert cli.ok("edit", "a").err == "nothing was changed\n"
    assert fleet.job("a") == before
    assert "s3cret" not in editor.seen.read_text()
    editor.seen.unlink()
    fleet.enqueue("true", "b")
    claim_next(fleet.queue)
    assert "only a job that waits" in cli.refused(4, "edit", "b")
    assert "no job 'c'" in cli.refused(3, "edit", "c")
    assert not editor.seen.exists(), "only jobs that wait are opened"


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_every_command_comes_back_as_it_was(text: str) -> None:
    now = datetime(2030, 1, 1, tzinfo=timezone.utc)
    job = state_machine.enqueue(Spec("a", "x" + text, env=(("A", text),)), None, now)
    shown = {"a": job_file.fields_of(job)}
    assert job_file.read(job_file.text_of([job]), shown) == {}
    assert shown["a"]["command"] == "x" + text


@on_one_store
def test_a_command_of_many_lines_is_shown_as_it_is_and_kept(fleet: Fleet) -> None:
    fleet.enqueue(MANY_LINES, "a:1.2")
    job = fleet.job("a:1.2")
    text = job_file.text_of([job])
    assert "\n\ttail -f 'a b'\n" in text
    shown = {"a:1.2": job_file.fields_of(job)}
    assert job_file.read(text, shown) == {}
    assert job_file.read(text.replace("tail -f", "tail"), shown) == {
        "a:1.2": {"command": MANY_LINES.replace("tail -f", "tail")}
    }


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("s/^timeout = 0/timeout = -1/", "timeout must be"),
        ("s/^timeout = 0/timeout = /", "not TOML"),
        ("s/^timeout/tmeout/", "did you mean 'timeout'?"),
        ("s/^.b.$/[c]/", "none of these jobs"),
        ('s/^# after = .*/after = ["b"]/', "in a circle"),
        ("s/^command = .true./command = 'rm -rf x'/", "denied_commands has 'rm *'"),
    ],
)
@on_one_store
def test_nothing_is_changed_on_an_error_and_the_text_is_kept(
    fleet: Fleet, cli: Cli, editor: Editor, script: str, said: str
) -> None:
    for job_id in ("a", "b"):
        fleet.enqueue("true", job_id)
    cli.ok("config", "set", "denied_commands", "rm *")
    before = [fleet.job("a"), fleet.job("b")]
    editor.types("0,/^priority = 0/s/^priority = 0/priority = 5/", f"/^.b.$/,$ {{ {script} \n}}")
    line = cli.refused(2, "edit", "a", "b")
    assert said in line
    assert [fleet.job("a"), fleet.job("b")] == before
    (left,) = kept(fleet)
    assert str(left) in line
    assert "priority = 5" in left.read_text()


@pytest.mark.parametrize("change", ["claim", "set", "delete"])
def test_a_job_that_changed_meanwhile_is_refused_and_the_text_is_kept(
    fleet: Fleet, cli: Cli, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    fleet.enqueue("true", "a")

    def meanwhile(path: Path) -> None:
        if change == "claim":
            claim_next(fleet.queue)
        elif change == "set":
            fleet.queue.edit("a", {"priority": 7})
        else:
            fleet.queue.delete("a")
        path.write_text(path.read_text().replace("priority = 0", "priority = 5"))

    monkeypatch.setattr("queuectl.cli.edit._run_editor", meanwhile)
    line = cli.refused(3 if change == "delete" else 4, "edit", "a")
    (left,) = kept(fleet)
    assert str(left) in line
    assert "priority = 5" in left.read_text()
    if change != "delete":
        assert fleet.job("a").spec.priority == (7 if change == "set" else 0)


@on_one_store
def test_an_editor_that_fails_or_is_not_there_changes_nothing(
    fleet: Fleet, cli: Cli, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.enqueue("true", "a")
    editor.does('echo "priority = 9" >> "$1"; exit 3')
    assert "ended with 3" in cli.refused(2, "edit", "a")
    monkeypatch.setenv("VISUAL", "no-such-editor")
    assert len(kept(fleet)) == 1
    line = cli.refused(2, "edit", "a")
    assert "'no-such-editor' cannot be started: No such file or directory" in line
    assert "what was typed" not in line
    assert len(kept(fleet)) == 1, "nothing was typed, and yet kept"
    assert fleet.job("a").spec.priority == 0


@on_one_store
def test_on_a_terminal_a_wrong_file_is_opened_again(fleet: Fleet, editor: Editor) -> None:
    fleet.enqueue("true", "a")
    editor.does(
        f'if [ -e {editor.seen}.2 ]; then sed -i "s/= 12345678/= 4/" "$1"\n'
        f'else touch {editor.seen}.2; sed -i "s/^priority = 0/priority = 12345678/" "$1"; fi'
    )
    with Terminal(["edit", "a"], environment(), 120) as terminal:
        terminal.shows("priority must be", "Edit it again? [Y/n]")
        fleet.queue.edit("a", {"timeout": 9})  # what somebody else changes meanwhile stays
        terminal.press("enter")
        terminal.shows("Changed job 'a'")
        assert terminal.ends() == 0
    spec = fleet.job("a").spec
    assert (spec.priority, spec.timeout) == (4, 9)
    assert fleet.job("a").state is State.PENDING
    assert kept(fleet) == []
