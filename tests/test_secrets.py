"""Passwords and other secrets: seen by the server and the command they are meant for, only."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from queuectl.cli.app import execute
from queuectl.cli.session import Session
from queuectl.domain.errors import StoreRefused, StoreUnavailable
from queuectl.domain.job import State
from queuectl.stores import open_store
from queuectl.system.run_processes import children_of
from tests.certificates import certificate_in
from tests.cli.harness import Result, home
from tests.stores.server import Mongod, mongod_in
from tests.worker.fleet import eventually, fleet_in

__all__ = ["home"]

PASSWORD = "s3cr3t:pass/@x"
ENCODED = "s3cr3t%3Apass%2F%40x"
TELLTALE = "s3cr3t"
"""What both have in common."""

COMMANDS = (
    "init", "enqueue job1 true", "enqueue job1 true", "status", "status --json", "list",
    "list --json", "show job1", "show job1 --json", "logs job1", "dlq list", "dlq retry job1",
    "config get", "config show", "config set max-retries 2", "config set nonsense 1",
    "doctor", "doctor --json", "worker stop", "cancel job1", "retry job1", "delete job1",
    "run job2 -- true", "wait job2", "nonsense", "show nobody", "--help",
)  # fmt: skip


@dataclass(frozen=True)
class Guarded:
    """A server with a login and TLS, and what a client needs."""

    mongod: Mongod
    authority: Path

    def url(self, login: str = f"user:{ENCODED}@", options: str = "") -> str:
        """Return an address; without `options` it is encrypted, with the server verified."""
        options = options or f"&tls=true&tlsCAFile={self.authority}"
        return f"mongodb://{login}{self.mongod.address}/queuectl?authSource=admin{options}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that wants a login and speaks TLS alone; the user may write one database."""
    root = tmp_path_factory.mktemp("guarded")
    made = certificate_in(root)
    with mongod_in(root / "mongod") as mongod:
        with MongoClient[dict[str, Any]](f"mongodb://{mongod.address}") as client:
            for name, role in (("user", "readWrite"), ("reader", "read")):
                roles = [{"role": role, "db": "queuectl"}]
                client.admin.command("createUser", name, pwd=PASSWORD, roles=roles)
        mongod.shut_down()
        tls = ("--tls-cert-file", str(made.authority), "--tls-key-file", str(made.key))
        mongod.options = ("--auth", *tls)
        mongod.start()
        yield Guarded(mongod, made.authority)


def verbose(*args: str) -> Result:
    """Run a command line in this process, with the traceback of whatever goes wrong."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = execute(["-v", *args], Session())
    return Result(code, out.getvalue(), err.getvalue())


def with_children(pids: list[int]) -> list[int]:
    """Return processes and their children: watchdogs are children of workers."""
    return [*pids, *(child for pid in pids for child in children_of(pid))]


# login and encryption


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("user:wrong@", "refused the user's name or password"),
        ("nobody:wrong@", "refused the user's name or password"),
        ("", "wants a login"),
    ],
)
def test_a_login_that_does_not_do_is_refused_in_one_line(
    guarded: Guarded, login: str, said: str
) -> None:
    with pytest.raises(StoreRefused, match=said) as caught:
        open_store(guarded.url(login))
    assert caught.value.hint
    assert TELLTALE not in f"{caught.value} {caught.value.hint}"


def test_a_user_who_may_only_read_can_look_and_change_nothing(guarded: Guarded) -> None:
    open_store(guarded.url()).close()
    with closing(open_store(guarded.url(f"reader:{ENCODED}@"))) as store:
        assert store.counts().total >= 0
        with pytest.raises(StoreRefused, match="does not allow this user") as caught:
            store.settings.set("max_retries", 5)
    assert "readWrite" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "hint"),
    [("&tls=true", "tlsCAFile"), ("&tls=false", "add tls=true")],
    ids=["unproven", "plain"],
)
def test_a_server_that_cannot_prove_who_it_is_or_is_not_encrypted_gets_no_password(
    guarded: Guarded, options: str, hint: str
) -> None:
    with pytest.raises((StoreUnavailable, StoreRefused)) as caught:
        open_store(guarded.url(options=options))
    assert hint in caught.value.hint
    assert TELLTALE not in f"{caught.value} {caught.value.hint}"


def test_a_fleet_works_with_a_login_over_tls(guarded: Guarded, tmp_path: Path) -> None:
    with closing(open_store(guarded.url())) as store:
        assert store.check() == []
        assert store.address == f"mongodb://{guarded.mongod.address}/queuectl"
    with fleet_in(tmp_path, guarded.url()) as fleet:
        fleet.start()
        assert fleet.ran("true").state is State.COMPLETED
        assert fleet.stop() == []


# the password shows nowhere


ADDRESSES = {
    "that works": lambda guarded: guarded.url(),
    "whose password is wrong": lambda guarded: guarded.url(f"user:{ENCODED}wrong@"),
    "that is malformed": lambda _: f"mongodb://user:{PASSWORD}@localhost/queuectl",
    "with a bad option": lambda _: (
        f"mongodb://user:{ENCODED}@localhost/q?w={TELLTALE}&tls={TELLTALE}"
    ),
    "where nobody answers": lambda _: (
        f"mongodb://user:{ENCODED}@127.0.0.1:9/q?serverSelectionTimeoutMS=50"
    ),
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_no_command_shows_the_password_of_an_address(
    guarded: Guarded, tmp_path: Path, address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("queuectl.stores.mongo.connection", "queuectl.stores.mongo.schema"):
        monkeypatch.setattr(f"{module}.SELECTION_SECONDS", 0.05)
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.02)
    url = address(guarded)
    for words in COMMANDS:
        result = verbose("--store", url, *words.split())
        assert TELLTALE not in result.out + result.err, words
    assert TELLTALE.encode() not in _all_files(tmp_path)


def test_the_password_is_in_no_process_file_or_record(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_STORE", guarded.url())
    monkeypatch.setenv("MONGO_URI", guarded.url())
    with fleet_in(tmp_path, guarded.url()) as fleet:
        pids = fleet.start(2)
        job = fleet.ran("env; cat /proc/$PPID/cmdline /proc/$PPID/environ | tr '\\0' '\\n'")
        assert job.outcome is not None
        assert "QUEUECTL_JOB_ID" in job.outcome.stdout
        fleet.ran("exit 1")
        if sys.platform == "linux":
            for pid in with_children([*pids, *fleet.pids("supervisor")]):
                for name in ("cmdline", "environ"):
                    assert TELLTALE.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert TELLTALE not in str([*fleet.queue.find(), *fleet.queue.workers(), fleet.location])
        assert TELLTALE not in _records(guarded)
        assert fleet.stop() == []
    assert TELLTALE.encode() not in _all_files(tmp_path)


def test_a_server_that_goes_away_is_logged_without_the_password(
    guarded: Guarded, tmp_path: Path
) -> None:
    with fleet_in(tmp_path, guarded.url()) as fleet:
        fleet.start()
        guarded.mongod.kill()
        try:
            eventually(lambda: "does not answer" in fleet.log())
            fleet.stop(now=True)
        finally:
            guarded.mongod.start()
        assert TELLTALE not in fleet.log()


def _records(guarded: Guarded) -> str:
    with MongoClient[dict[str, Any]](guarded.url()) as client:
        database = client["queuectl"]
        return str([list(database[name].find()) for name in database.list_collection_names()])


def _all_files(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process hide arguments")
def test_workers_in_the_foreground_hide_the_password_that_was_typed(
    guarded: Guarded, tmp_path: Path
) -> None:
    with fleet_in(tmp_path, guarded.url()) as fleet:
        words = ["--home", str(fleet.home.root), "--store", guarded.url(), "worker", "start", "-f"]
        program = [sys.executable, "-m", "queuectl"]
        with subprocess.Popen([*program, *words], cwd=Path(__file__).parents[1]) as process:
            try:
                (pid,) = eventually(fleet.pids)
                for shown in (process.pid, *with_children([pid])):
                    line = Path(f"/proc/{shown}/cmdline").read_bytes()
                    assert TELLTALE.encode() not in line
                    assert guarded.mongod.address.encode() in line, "the rest is as it was"
                assert fleet.ran("true").state is State.COMPLETED
            finally:
                process.terminate()


# values whose names look secret


def test_values_that_look_secret_are_masked_in_every_display_and_reach_the_command(
    tmp_path: Path,
) -> None:
    names = ("API_KEY", "DB_PASSWORD", "GITHUB_TOKEN", "MY_SECRET", "DATABASE_URL")
    with fleet_in(tmp_path) as fleet:
        environment = {**dict.fromkeys(names, TELLTALE), "COLOUR": "green"}
        fleet.enqueue("test $API_KEY = $MY_SECRET", "job1", env=environment)
        _shows_nothing("green")
        fleet.start()
        assert fleet.settled("job1").state is State.COMPLETED
        _shows_nothing("green")
        assert TELLTALE not in fleet.log()
        assert fleet.stop() == []


def _shows_nothing(shown: str) -> None:
    text = ""
    for words in ("show job1", "show job1 --json", "list", "list --json", "status --json", "status",
                  "logs job1", "doctor --json"):  # fmt: skip
        result = verbose(*words.split())
        assert TELLTALE not in result.out + result.err, words
        text += result.out
    assert shown in text, "what is no secret is shown"


def test_a_home_is_all_that_holds_secrets_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with fleet_in(tmp_path) as fleet:
        fleet.enqueue("true", env={"API_KEY": TELLTALE})
        holding = [
            path
            for path in tmp_path.rglob("*")
            if path.is_file() and TELLTALE.encode() in path.read_bytes()
        ]
        assert holding
        assert all(path.parent == fleet.home.root for path in holding)
        assert all(path.stat().st_mode & 0o077 == 0 for path in holding)
