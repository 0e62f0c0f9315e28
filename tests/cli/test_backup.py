"""`backup` and `restore` on the command line."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.queue_limits import delivery_queue
from queuectl.queue import open_queue
from tests.cli.harness import Cli, answered, claim_next, process
from tests.stores.kit import added
from tests.worker.fleet import eventually, lives


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """A store with a job, a schedule, and a backup of it in `b.db`; another job came later."""
    cli.ok("enqueue", "one", "true")
    cli.ok("schedule", "add", "nightly", "0 3 * * *", "true")
    result = cli.ok("backup", "b.db")
    assert result.out == "Backed up 1 job and 1 schedule to b.db\n"
    cli.ok("enqueue", "two", "true")
    return cli


def test_a_backup_is_restored_and_the_old_store_kept(filled: Cli, home: Path) -> None:
    result = filled.ok("restore", "b.db", "-y")
    made, waiting, kept = result.out.splitlines()
    assert made.startswith("Restored 1 job and 1 schedule from b.db, made 20")
    assert waiting == "1 job in it will run: none of them again"
    path = kept.removeprefix("The store as it was is kept as ")
    assert Path(path).parent == home
    assert filled.ids() == ["one"]
    assert filled.ids("--store", path) == ["one", "two"]
    filled.ok("restore", "--yes", path)
    assert filled.ids() == ["one", "two"]


def test_deliveries_of_hooks_are_in_a_backup_and_not_counted_as_jobs(cli: Cli) -> None:
    cli.ok("enqueue", "one", "true")
    with open_queue() as queue:
        for number in (1, 2):
            added(queue.store, f"hook:tells:{number}", queue=delivery_queue("tells"))
    assert cli.ok("backup", "b.db").out == "Backed up 1 job to b.db\n"
    assert cli.ok("restore", "--dry-run", "b.db").out.startswith("Would restore 1 job from")
    assert cli.ok("restore", "-y", "--deliver", "b.db").out.startswith("Restored 1 job from")
    assert cli.ok("show", "hook:tells:1")


def test_it_says_what_runs_again_and_what_does_not(filled: Cli) -> None:
    with open_queue() as queue:
        claim_next(queue)
    filled.ok("backup", "running.db")
    result = filled.ok("restore", "-y", "running.db")
    assert "2 jobs in it will run: 1 of them again\n" in result.out
    assert "1 that ran at that time were given back\n" in result.out


def test_restore_needs_yes_where_nobody_can_be_asked(filled: Cli, home: Path) -> None:
    refused = filled.refused(2, "restore", "b.db")
    assert f"Replace everything in {home}/queue.db by 1 job and 1 schedule" in refused
    assert "queuectl restore --yes b.db" in refused
    assert filled.ids() == ["one", "two"]
    assert sorted(each.name for each in home.glob("*.db")) == ["queue.db"]


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 2), ("y", 0, 1)])
def test_restore_does_what_a_person_answers(filled: Cli, answer: str, code: int, left: int) -> None:
    assert answered(["restore", "b.db"], "Replace everything in", answer) == code
    assert len(filled.ids()) == left


def test_where_there_is_no_store_nothing_needs_to_be_asked(filled: Cli) -> None:
    filled.ok("--home", "other", "restore", "b.db")
    assert filled.ids("--home", "other") == ["one"]


def test_a_dry_run_looks_and_changes_nothing(filled: Cli, home: Path) -> None:
    result = filled.ok("restore", "--dry-run", "b.db")
    assert result.out.startswith("Would restore 1 job and 1 schedule from b.db, made 20")
    assert filled.ids() == ["one", "two"]
    Path("b.db").write_bytes(b"garbage" * 1000)
    assert "b.db is damaged" in filled.refused(5, "restore", "--dry-run", "b.db")
    assert sorted(each.name for each in home.iterdir() if "restor" in each.name) == []


def test_all_can_be_left_paused(filled: Cli) -> None:
    result = filled.ok("restore", "-y", "--paused", "b.db")
    assert "queuectl queue resume default" in result.err
    assert filled.ok("list", "--json").json[0]["reason"] == "queue default is paused"


def test_the_line_that_resumes_all_works_when_typed_deliveries_included(cli: Cli) -> None:
    cli.ok("enqueue", "one", "true")
    cli.ok("hook", "add", "oncall", "--command", "true", "--on", "dead")
    cli.ok("backup", "b.db")
    said = cli.ok("restore", "-y", "--paused", "b.db").err
    line = said.partition("all is paused: queuectl ")[2].splitlines()[0]
    assert line == "queue resume default hooks"
    cli.ok(*line.split())
    with open_queue() as queue:
        assert not any(lane.paused for lane in queue.store.queue_limits().values())


def test_bad_files_are_told_by_exit_codes(filled: Cli) -> None:
    Path("empty").touch()
    Path("text").write_text("not a database\n" * 1000)
    assert "empty is empty" in filled.refused(5, "restore", "-y", "empty")
    assert "text is damaged, or no backup" in filled.refused(5, "restore", "-y", "text")
    assert "No such file" in filled.refused(2, "restore", "-y", "nowhere")
    filled.refused(2, "restore", "-y", "-")
    filled.refused(2, "restore")
    filled.refused(2, "backup", "")
    filled.refused(2, "backup", ".")
    filled.refused(4, "backup", "b.db")
    filled.refused(5, "backup", "no/such/place.db")
    assert "no store yet" in filled.refused(3, "--home", "none", "backup", "c.db")
    assert not Path("none").exists()


def test_on_mongodb_both_say_what_to_use(cli: Cli) -> None:
    url = "mongodb://me:hunter2@127.0.0.1:1/queuectl"
    said = cli.refused(2, "--store", url, "backup", "b.db")
    assert "mongodump" in said
    assert "queuectl export" in said
    assert "hunter2" not in said
    said = cli.refused(2, "--store", url, "restore", "b.db", "-y")
    assert "mongorestore" in said
    assert "queuectl import" in said


def test_both_work_at_the_prompt_which_has_the_store_open(filled: Cli) -> None:
    lines = ["backup c.db", "enqueue three true", "restore -y b.db", "list --json", "delete one"]
    result = process(stdin="\n".join(lines))
    assert result.code == 0, result
    listed = result.out[result.out.index("[") : result.out.rindex("]") + 1]
    assert [job["id"] for job in json.loads(listed)] == ["one"]
    assert filled.ids() == []


def test_a_store_that_had_been_moved_says_so_when_it_is_restored(filled: Cli) -> None:
    filled.ok("migrate", "-y", "--to", "new.db")
    filled.ok("backup", "moved.db")
    filled.ok("migrate", "--release")
    result = filled.ok("restore", "-y", "moved.db")
    assert "queuectl migrate --release" in result.err
    assert "migrate --release" in filled.refused(4, "enqueue", "x", "true")


def test_workers_are_named_and_stopped_only_when_that_is_asked_for(cli: Cli) -> None:
    cli.ok("enqueue", "long", "sleep 600")
    (pid,) = json.loads(cli.ok("worker", "start").out.partition(": ")[2])
    eventually(lambda: cli.job("long")["state"] == "processing")
    cli.ok("backup", "b.db")
    refused = cli.refused(4, "restore", "-y", "b.db")
    assert f"(pid {pid})" in refused
    assert "queuectl worker stop" in refused
    assert cli.ok("restore", "--dry-run", "b.db").out.startswith("Would restore 1 job")
    assert lives(pid)
    result = cli.ok("restore", "-y", "--stop", "b.db")
    assert result.out.startswith(f"Worker {pid} stopped\n")
    assert "1 job in it will run: 1 of them again\n" in result.out
    assert not lives(pid)
    job = cli.job("long")
    assert (job["state"], job["attempts"], job["interruptions"]) == ("pending", 0, 0)


def test_damage_names_the_way_back(filled: Cli, home: Path) -> None:
    os.truncate(home / "queue.db", 8192)
    for words in (["list"], ["enqueue", "x", "true"], ["backup", "c.db"]):
        assert "queuectl restore FILE" in filled.refused(5, *words)
    assert "queuectl restore FILE" in filled("doctor").out
    filled.ok("restore", "-y", "b.db")
    assert filled.ids() == ["one"]
    assert "FAIL  store" not in filled("doctor").out


def test_what_is_not_of_queuectl_is_named_by_backup_and_doctor(filled: Cli, home: Path) -> None:
    with closing(sqlite3.connect(home / "queue.db")) as other:
        other.execute("CREATE VIEW mine AS SELECT 1")
    for said in (filled.refused(5, "backup", "c.db"), filled("doctor").out):
        assert "the view 'mine' is not queuectl's" in said
        assert 'DROP VIEW "mine"' in said
    filled.ok("enqueue", "three", "true")
