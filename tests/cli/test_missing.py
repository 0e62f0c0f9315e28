"""Who only reads makes nothing: a home or store that is not there reads as an empty one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from queuectl.cli.root import root
from tests.cli.harness import Cli, process
from tests.stores.conftest import new_mongo_url

__all__ = ["new_mongo_url"]

WRITERS = frozenset(("enqueue", "jobs enqueue", "add", "jobs add", "import"))
OF_ONE_JOB = frozenset(("show", "jobs show", "results"))
"""What reads one job, which a person at a terminal need not name, or one batch."""


ASKING = {
    "wait": "--all", "dlq retry": "--all", "dlq purge": "--yes", "purge": "--yes",
    "cancel": "--state pending --yes", "retry": "--state dead",
    "delete": "--state completed --yes",
}  # fmt: skip
"""What a command needs to be told before it does anything, by its last words."""


def lines(group: click.Group = root, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield how each command is typed that reads all there is, with each of its options for that.

    Those are `--json` and `--deliveries`; a command that has neither reads one thing, or writes.
    """
    context = click.Context(group)
    for name in group.list_commands(context):
        command, path = group.get_command(context, name), " ".join((*before, name))
        if isinstance(command, click.Group):
            yield from lines(command, (*before, name))
            continue
        assert command is not None
        given = {word for option in command.params for word in option.opts}
        options = sorted(given & {"--json", "--deliveries"})
        if (
            not options
            or path in WRITERS | OF_ONE_JOB
            or any(option.required for option in command.params)
        ):
            continue
        needed = ASKING.get(path.removeprefix("jobs "), "")
        chosen = ("", *options, " ".join(options))
        yield from dict.fromkeys(" ".join(f"{path} {needed} {each}".split()) for each in chosen)


READERS = (
    *lines(), "list --state dead", "list --newest --limit 3", "stats --queue gpu",
    "worker stop", "worker stop --all-hosts", "config unset max-retries", "export",
    "metrics", "delete --state completed --dry-run",
)  # fmt: skip
EMPTY: dict[str, list[object]] = {
    "list --json": [],
    "list --deliveries --json": [],
    "dlq list --json": [],
    "dlq list --deliveries --json": [],
    "worker list --json": [],
    "queue list --json": [],
    "schedule list --json": [],
    "hook list --json": [],
    "hook check --json": [],
    "wait --all --json": [],
}


def made(home: Path) -> bool:
    """Whether anything has been made for a home, or left behind in its stead."""
    return home.exists() or any(Path(tempfile.gettempdir()).glob("*"))


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory for temporary files in which anything left behind is seen."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))


@pytest.mark.parametrize("command", READERS)
def test_a_reader_makes_nothing_and_names_what_is_missing(
    cli: Cli, tmp_path: Path, command: str
) -> None:
    typo = tmp_path / "typo"
    result = cli.ok("--home", str(typo), *command.split())
    assert result.err.count("\n") == 1
    assert str(typo) in result.err
    assert not made(typo)


@pytest.mark.parametrize("command", EMPTY)
def test_the_result_of_a_reader_is_empty(cli: Cli, tmp_path: Path, command: str) -> None:
    typo = tmp_path / "typo"
    result = cli.ok("--home", str(typo), *command.split())
    assert result.json == EMPTY[command]
    assert str(typo) in result.err


def test_zeros_and_defaults_are_read_where_there_is_nothing(cli: Cli, home: Path) -> None:
    found = cli.ok("status", "--json").json
    assert found["counts"]["total"] == 0
    assert found["store"] == str(home / "queue.db")
    assert cli.ok("config", "get", "max-retries").out == "3\n"
    assert not made(home)


@pytest.mark.parametrize(
    "command",
    ["show a", "cancel a", "logs a", "retry a", "wait a", "edit a", "set a priority=high",
     "jobs pause a", "delete a"],
)  # fmt: skip
def test_a_job_that_is_not_found_says_where_there_is_nothing(
    cli: Cli, home: Path, command: str
) -> None:
    assert f"no job 'a'; {home} does not exist" in cli.refused(3, *command.split())
    assert not made(home)


@pytest.mark.parametrize(
    "command",
    ["schedule show", "schedule next", "schedule pause", "schedule resume", "schedule remove",
     "hook show", "hook deliveries", "hook pause", "hook resume", "hook remove", "hook test",
     "queue resume"],
)  # fmt: skip
def test_what_else_is_not_found_says_where_there_is_nothing(
    cli: Cli, home: Path, command: str
) -> None:
    told = cli.refused(3, *command.split(), "a")
    assert f"no {command.split()[0]} 'a'; {home} does not exist" in told
    assert not made(home)


def test_of_a_home_without_its_store_the_store_is_named(cli: Cli, home: Path) -> None:
    home.mkdir()
    assert f"{home / 'queue.db'} does not exist" in cli.ok("list").err
    assert list(home.iterdir()) == []
    assert f"{home / 'x.db'} does not exist" in cli.ok("--store", str(home / "x.db"), "list").err


def test_a_store_that_is_elsewhere_is_read_without_a_home(cli: Cli, home: Path) -> None:
    cli.ok("--home", "other", "--store", "x.db", "enqueue", "a", "true")
    result = cli.ok("--store", "x.db", "list", "--json")
    assert [job["id"] for job in result.json] == ["a"]
    assert result.err == ""
    assert not made(home)


@pytest.mark.parametrize("command", ["enqueue a true", "config set max-retries 2", "init",
                                     "queue pause gpu", "schedule add s @daily true"])  # fmt: skip
def test_who_writes_makes_the_home(cli: Cli, home: Path, command: str) -> None:
    if command == "init":
        cli.ok("--home", str(home), "init")
    else:
        cli.ok(*command.split())
    assert (home / "queue.db").exists()
    assert "does not exist" not in cli.ok("list").err


UNREADABLE = (
    "enqueue --file absent", "enqueue @empty", "enqueue -f .", "enqueue {", "enqueue -f -",
    "enqueue --atomic -f wrong", "run --file absent", "import absent", "import empty",
    "import wrong", "schedule add s @daily true --env-file absent",
    "hook add h --on dead --command true --secret-file absent",
)  # fmt: skip


@pytest.mark.parametrize("command", UNREADABLE)
def test_for_what_cannot_be_read_nothing_is_made(cli: Cli, home: Path, command: str) -> None:
    Path("empty").touch()
    Path("wrong").write_text("{\n")
    cli.refused(2, *command.split())
    assert not made(home)


@pytest.mark.parametrize("command", ["enqueue --file absent", "import absent"])
def test_for_what_cannot_be_read_no_database_is_filled(
    cli: Cli, home: Path, new_mongo_url: str, command: str
) -> None:
    cli.refused(2, "--store", new_mongo_url, *command.split())
    assert "does not exist" in cli.ok("--store", new_mongo_url, "list").err
    assert not made(home)


def test_a_line_that_writes_after_one_that_read_makes_the_home(home: Path) -> None:
    result = process("shell", stdin="list\nenqueue a true\nlist --json\n")
    assert result.code == 0
    assert result.err.count("\n") == 1
    assert f"({home} does not exist)" in result.err
    assert '"id": "a"' in result.out


def test_a_store_that_is_not_there_cannot_be_moved(cli: Cli, home: Path) -> None:
    assert str(home) in cli.refused(3, "migrate", "--to", "other.db")
    assert not made(home)
    assert not Path("other.db").exists()


def test_a_file_in_place_of_the_home_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cli.refused(5, "--home", str(tmp_path / "file"), "list")
    cli.refused(5, "--home", str(tmp_path / "file" / "deeper"), "list")
    assert (tmp_path / "file").read_text() == "mine"


def test_doctor_says_of_a_home_that_cannot_be_made_what_who_makes_it_is_told(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    closed = tmp_path / "closed"
    closed.mkdir()
    homes = [str(tmp_path / "file" / "deep" / "home")]
    if os.geteuid() == 0:  # whom no mode keeps out
        monkeypatch.setattr(os, "access", lambda path, _: path != closed)
        told = f"cannot make {closed / 'home'}: Permission denied"
        assert told in cli("--home", str(closed / "home"), "doctor").out
    else:
        closed.chmod(0o500)
        homes.append(str(closed / "deep" / "home"))
    for home in homes:
        told = cli.refused(5, "--home", home, "enqueue", "--command", "true")
        for options in ([], ["--quick"]):
            found = cli("--home", home, "doctor", *options, "--json")
            assert found.code == 5
            assert [(each["name"], each["ok"]) for each in found.json] == [("home", False)]
            assert found.json[0]["detail"] in told
            assert found.json[0]["advice"] in told
    assert list(closed.iterdir()) == []


def test_a_database_without_a_store_reads_as_empty_and_stays_so(
    cli: Cli, home: Path, new_mongo_url: str
) -> None:
    for _ in range(2):
        result = cli.ok("--store", new_mongo_url, "list", "--json")
        assert result.json == []
        assert "does not exist" in result.err
    cli.ok("--store", new_mongo_url, "config", "set", "max-retries", "2")
    assert cli.ok("--store", new_mongo_url, "list", "--json").err == ""
    assert home.exists()


def test_init_tells_a_new_database_from_one_that_is_there(cli: Cli, new_mongo_url: str) -> None:
    cli.ok("init")
    assert cli.ok("--store", new_mongo_url, "init").out.startswith("Initialized mongodb://")
    assert cli.ok("--store", new_mongo_url, "init").out.endswith(" already initialized\n")
