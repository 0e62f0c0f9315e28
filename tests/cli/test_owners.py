"""Who runs a command, and whose files it finds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from queuectl.queue import open_queue
from tests.cli.harness import Cli, process

pytestmark = pytest.mark.skipif(os.name == "nt", reason="files have owners on a Unix")

OTHER = 65_534
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)


def give_away(path: Path) -> None:
    """Give a path, and what is in it, to another user."""
    for each in (path, *path.rglob("*")):
        os.chown(each, OTHER, OTHER)


# nobody


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user without HOME and without an entry in passwd."""
    import pwd

    def unknown(*_: object) -> None:
        raise KeyError("no such user")

    for name in ("HOME", "QUEUECTL_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "command", ["list", "status", "enqueue a true", "worker start", "worker stop", "doctor",
                "--home ~/jobs list", "--home here --store ~/q.db list"],
)  # fmt: skip
def test_without_any_home_directory_a_home_is_to_be_named(cli: Cli, command: str) -> None:
    told = cli.refused(2, *command.split())
    assert "HOME is not set, and this user has no entry in passwd" in told
    assert "--home" in told


@pytest.mark.usefixtures("nobody")
def test_an_empty_home_counts_as_absent(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    for command in ("list", "--home ~/jobs list", "--home here --store ~/q.db list"):
        assert "no home directory is known" in cli.refused(2, *command.split())


def test_with_an_empty_home_the_entry_in_passwd_says_where(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    entry = pwd.struct_passwd(("zoe", "x", os.getuid(), 0, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    monkeypatch.setenv("HOME", "")
    cli.ok("--home", "~/jobs", "enqueue", "a", "true")
    assert (tmp_path / "jobs" / "queue.db").exists()
    monkeypatch.delenv("QUEUECTL_HOME")
    default = tmp_path / ".local" / "share" / "queuectl"
    assert cli.ok("status", "--json").json["store"] == str(default / "queue.db")


@pytest.mark.usefixtures("nobody")
def test_whoever_has_no_home_directory_works_with_a_home_that_is_named(cli: Cli) -> None:
    cli.ok("init")
    cli.ok("enqueue", "a", "true")
    assert "no user 'zoe'" in cli.refused(2, "--home", "~zoe/jobs", "list")
    assert cli.ids() == ["a"]
    assert cli.ok("completion", "bash").out


# root


@as_root
@pytest.mark.parametrize("command", ["list", "enqueue b true", "worker start", "doctor", "init"])
def test_root_is_kept_out_of_the_home_of_another_user(cli: Cli, home: Path, command: str) -> None:
    cli.ok("enqueue", "a", "true")
    give_away(home)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    told = cli.refused(2, "--home", str(home), *command.split())
    assert f"{home} belongs to user " in told
    assert "sudo -u " in told
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


@as_root
def test_root_makes_no_home_and_no_store_among_the_files_of_another_user(
    cli: Cli, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    give_away(theirs)
    told = cli.refused(2, "--home", str(theirs / "deep" / "home"), "enqueue", "a", "true")
    assert f"would be in {theirs}, which belongs to user" in told
    cli.refused(2, "--home", "here", "--store", str(theirs / "q.db"), "enqueue", "a", "true")
    assert list(theirs.iterdir()) == []


@as_root
@pytest.mark.parametrize(
    "way", ["absent/../theirs", "absent/deep/../../theirs", "link/../theirs/x/../y"]
)
def test_no_way_over_what_is_missing_leads_root_to_the_files_of_another_user(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    give_away(theirs)
    (tmp_path / "link").symlink_to("work")
    there = tmp_path / way
    for options in (("--home", f"{there}/home"), ("--store", f"{there}/q.db")):
        told = cli.refused(2, *options, "enqueue", "a", "true")
        assert f"would be in {theirs}, which belongs to user" in told
    monkeypatch.delenv("QUEUECTL_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(there))
    cli.refused(2, "enqueue", "a", "true")
    assert list(theirs.iterdir()) == []
    assert not (tmp_path / "absent").exists()


@as_root
def test_root_is_kept_out_of_a_home_that_is_found_on_the_way_up(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("--home", ".queuectl", "enqueue", "a", "true")
    give_away(Path(".queuectl"))
    monkeypatch.delenv("QUEUECTL_HOME")
    assert "sudo -u " in cli.refused(2, "list")


# what doctor sees


def permissions(cli: Cli) -> dict[str, Any]:
    """Return what doctor found of owners and modes."""
    return next(f for f in cli("doctor", "--json").json if f["name"] == "permissions")


@as_root
def test_doctor_names_every_file_of_another_user(cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "true")
    log = home / "logs" / "jobs" / "a" / "1.out"
    for directory in (home / "logs", home / "logs" / "jobs", log.parent):
        directory.mkdir(mode=0o700)
    log.touch(mode=0o600)
    os.chown(log, OTHER, OTHER)
    found = permissions(cli)
    assert not found["ok"]
    assert found["detail"].startswith(f"not yours: {log}")
    assert f"sudo chown -R root {log}" in found["advice"]
    give_away(home)
    os.chown(home, 0, 0)
    assert f"sudo chown -R root {home}" in permissions(cli)["advice"]


@as_root
def test_the_variables_of_a_home_may_be_roots(cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "true")
    (home / ".env").touch(mode=0o600)
    os.chown(home / ".env", OTHER, OTHER)
    assert not permissions(cli)["ok"]
    os.chown(home / ".env", 0, 0)
    assert permissions(cli)["ok"]


def test_doctor_sees_what_others_can_read_and_what_its_owner_cannot_write(
    cli: Cli, home: Path
) -> None:
    cli.ok("enqueue", "a", "true")
    assert permissions(cli)["ok"]
    logs = home / "logs" / "workers"
    for directory in (logs.parent, logs):
        directory.mkdir(mode=0o700)
    (logs / "x.log").touch(mode=0o600)
    (logs / "x.log").chmod(0o640)
    found = permissions(cli)
    assert (found["ok"], found["detail"]) == (False, f"others can read {logs / 'x.log'}")
    assert found["advice"] == f"chmod -R go= {logs / 'x.log'}"
    (logs / "x.log").chmod(0o600)
    logs.chmod(0o500)
    assert permissions(cli)["detail"] == f"you cannot write {logs}"
    logs.chmod(0o700)
    store = Path("elsewhere.db").absolute()
    cli.ok("--store", str(store), "enqueue", "a", "true")
    store.chmod(0o644)
    found = next(f for f in cli("--store", str(store), "doctor", "--json").json
                 if f["name"] == "permissions")  # fmt: skip
    assert found["detail"] == f"others can read {store}"


def test_of_many_files_doctor_names_the_first(cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "true")
    for number in range(20):
        (home / f"queue.db {number}").touch(mode=0o600)
        (home / f"queue.db {number}").chmod(0o644)
    found = permissions(cli)
    assert "and 15 more" in found["detail"]
    assert f"'{home}/queue.db 0'" in found["detail"]
    assert found["advice"] == f"chmod -R go= {home}"


def test_what_else_is_in_a_home_is_not_looked_at(cli: Cli, home: Path) -> None:
    cli.ok("enqueue", "a", "true")
    (home / "mine").mkdir(mode=0o700)
    (home / "mine").chmod(0o755)
    assert permissions(cli)["ok"]


# a working directory that was removed


@pytest.fixture
def gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a directory that has been removed, below a project with a home and a job."""
    project = tmp_path / "project"
    gone = project / "sub" / "gone"
    gone.mkdir(parents=True)
    with open_queue(str(project / ".queuectl")) as queue:
        queue.enqueue([queue.request({"id": "a", "command": "true", "cwd": "/"})])
    monkeypatch.delenv("QUEUECTL_HOME")
    monkeypatch.chdir(gone)
    gone.rmdir()
    return gone


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize(
    "command", ["list --json", "status", "show a", "config get", "config set max-retries 2",
                "enqueue b true --cwd /", "cancel a", "worker list", "worker stop", "stats",
                "doctor --quick", "schedule add s @daily true --cwd /", "queue list", "export -"],
)  # fmt: skip
def test_what_needs_no_working_directory_works_without_one(cli: Cli, command: str) -> None:
    if command == "doctor --quick":
        cli.ok("cancel", "a")  # else it tells of a job that waits
    cli.ok(*command.split())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where it was")
@pytest.mark.usefixtures("gone")
def test_the_home_above_a_removed_directory_is_still_the_one_that_is_meant(cli: Cli) -> None:
    assert cli.ids() == ["a"]


@pytest.mark.parametrize(
    "command", ["enqueue b true", "run true", "init", "--home here list", "--store x.db list",
                "schedule add s @daily true", "enqueue b true --cwd here", "backup here.bk",
                "restore here.bk", "export here.jsonl", "migrate --yes --to here.db"],
)  # fmt: skip
def test_what_needs_a_working_directory_says_that_it_was_removed(
    cli: Cli, gone: Path, command: str
) -> None:
    told = cli.refused(2, *command.split())
    if command != "run true":  # which is no command line for another reason
        assert "the working directory does not exist any more" in told
    assert not gone.exists()


def test_workers_are_started_and_stopped_from_a_removed_directory(
    gone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_HOME", str(gone.parents[1] / ".queuectl"))
    for command in ("worker start", "wait a --timeout 30", "worker stop"):
        ended = process(*command.split())
        assert (ended.code, ended.err) == (0, ""), ended
