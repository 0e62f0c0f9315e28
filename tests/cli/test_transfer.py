"""`export`, `import` and `migrate` on the command line."""

from __future__ import annotations

import json
import signal
import stat
import sys
from pathlib import Path

import pytest

from queuectl.domain.job import Outcome
from queuectl.domain.queue_limits import delivery_queue
from queuectl.queue import open_queue
from tests.cli.harness import Cli, Result, answered, bury, program, run_next
from tests.stores.kit import added, worker_record


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """A store with a completed, a dead and a waiting job, and a setting."""
    with open_queue() as queue:
        queue.enqueue([queue.request({"id": "done", "command": "true", "queue": "gpu"})])
        run_next(queue, Outcome(exit_code=0, duration=0.5, stdout="fine\n"))
    bury("dead")
    cli.ok("enqueue", "waiting", "true", "--env", "API_TOKEN=hunter2")
    cli.ok("config", "set", "max_retries", "5")
    return cli


WRONG = ("{", '{"type": "moon"}', '{"type": "job", "id": "x"}')


def types(text: str) -> list[str]:
    """Return the types of exported lines."""
    return [json.loads(line)["type"] for line in text.splitlines()]


def test_what_was_exported_is_imported_elsewhere_as_it_was(filled: Cli) -> None:
    assert filled.ok("export", "all.jsonl").out == "Exported 3 jobs to all.jsonl\n"
    result = filled.ok("--home", "other", "import", "all.jsonl")
    assert result.out == "Imported 3 jobs\n"
    here = filled.ok("list", "--json").json
    there = filled.ok("--home", "other", "list", "--json").json
    assert there == here
    assert filled.ok("--home", "other", "config", "get", "max_retries").out == "5\n"
    assert filled.ok("--home", "other", "dlq", "retry", "dead").code == 0


def test_a_file_is_for_its_owner_alone_and_replaced_whole(filled: Cli) -> None:
    path = Path("all.jsonl")
    path.write_text("old")
    path.chmod(0o644)
    filled.ok("export", "all.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert types(path.read_text()) == ["queuectl", "setting", "job", "job", "job"]
    assert [each.name for each in Path().iterdir()] == ["all.jsonl"]


def test_an_export_that_cannot_be_written_leaves_the_old_file(filled: Cli) -> None:
    filled.refused(5, "export", "no/such/place.jsonl")


def test_without_a_file_the_lines_go_to_standard_output(filled: Cli) -> None:
    assert types(filled.ok("export").out) == ["queuectl", "setting", "job", "job", "job"]
    assert filled.ok("export", "-").out.count("\n") == 5


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--state", "dead,completed"], ["done", "dead"]),
        (["--queue", "gpu"], ["done"]),
        (["--label", "none"], []),
        (["--older-than", "1h"], []),
    ],
)
def test_a_filter_exports_jobs_alone(filled: Cli, options: list[str], ids: list[str]) -> None:
    lines = [json.loads(line) for line in filled.ok("export", *options).out.splitlines()]
    assert [line.get("id") for line in lines] == [None, *ids]


def test_a_masked_export_shows_no_secret_and_cannot_be_imported(filled: Cli) -> None:
    assert "hunter2" in filled.ok("export").out
    filled.ok("export", "--mask", "shown.jsonl")
    assert "hunter2" not in Path("shown.jsonl").read_text()
    assert "secrets are masked" in filled.refused(2, "--home", "other", "import", "shown.jsonl")


def test_jobs_that_exist_are_reported_by_line_unless_they_are_skipped(filled: Cli) -> None:
    filled.ok("export", "all.jsonl")
    result = filled("import", "all.jsonl")
    assert result.code == 4
    assert result.out == "Imported 0 jobs\n"
    assert "all.jsonl:3: job 'done'" in result.err
    skipped = filled.ok("import", "all.jsonl", "--skip-existing")
    assert "3 skipped" in skipped.err


@pytest.fixture
def scheduled(filled: Cli) -> Cli:
    """The same, with two schedules."""
    filled.ok("schedule", "add", "nightly", "0 3 * * *", "./b.sh", "--env", "API_TOKEN=hunter2")
    filled.ok("schedule", "add", "weekly", "@weekly", "true", "--tz", "Asia/Tokyo", "--catch-up")
    filled.ok("schedule", "pause", "weekly")
    return filled


def test_schedules_are_exported_and_imported_as_they_were(scheduled: Cli) -> None:
    result = scheduled.ok("export", "all.jsonl")
    assert result.out == "Exported 3 jobs and 2 schedules to all.jsonl\n"
    result = scheduled.ok("--home", "other", "import", "all.jsonl")
    assert result.out == "Imported 3 jobs and 2 schedules\n"
    here, there = (
        scheduled.ok(*home, "schedule", "list", "--json").json for home in ((), ("--home", "other"))
    )
    assert there == here
    assert [each["paused"] for each in there] == [False, True]
    again = scheduled("--home", "other", "import", "all.jsonl")
    assert again.code == 4
    assert "schedule 'weekly' exists already" in again.err
    assert "5 skipped" in scheduled.ok("import", "all.jsonl", "--skip-existing").err
    assert "schedule" not in types(scheduled.ok("export", "--state", "dead").out)
    assert "hunter2" not in scheduled.ok("export", "--mask").out


def test_jobs_are_imported_before_the_schedules_whose_runs_they_are(scheduled: Cli) -> None:
    assert types(scheduled.ok("export").out)[-3:] == ["job", "schedule", "schedule"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cron": "never"}, "cron"),
        ({"tz": "Mars"}, "Mars"),
        ({"name": "a b"}, "the name"),
        ({"fields": {"command": "x", "id": "y"}}, "does not go with a schedule"),
        ({"fields": {"commnd": "x"}}, "did you mean 'command'"),
        ({"fields": 3}, "fields must be"),
        ({"paused": 1}, "paused must be"),
        ({"next_due": "soon"}, "next_due must be"),
        ({"skipped_why": "lazy"}, "skipped_why must be"),
        ({"moon": 1}, "unknown field 'moon'"),
    ],
)
def test_a_schedule_that_cannot_be_is_not_imported(
    scheduled: Cli, wrong: dict[str, object], said: str
) -> None:
    line = json.loads(scheduled.ok("export").out.splitlines()[-1])
    text = json.dumps({**line, **wrong})
    assert said in scheduled.refused(2, "--home", "other", "import", "-", stdin=text)
    assert scheduled.ok("--home", "other", "schedule", "list", "--json").json == []


def test_schedules_are_migrated_and_none_is_added_to_what_was_left(scheduled: Cli) -> None:
    result = scheduled.ok("migrate", "--to", "new.db", "--yes")
    assert result.out.startswith("Moved 3 jobs and 2 schedules to ")
    here, there = (
        scheduled.ok(*store, "schedule", "list", "--json").json
        for store in ((), ("--store", "new.db"))
    )
    assert here == there
    assert "was moved to" in scheduled.refused(4, "schedule", "add", "x", "@daily", "true")


def test_settings_that_differ_here_are_kept_and_reported(filled: Cli) -> None:
    filled.ok("export", "all.jsonl")
    filled.ok("--home", "other", "config", "set", "max_retries", "9")
    result = filled("--home", "other", "import", "all.jsonl")
    assert result.code == 4
    assert "setting 'max_retries' is 9 here" in result.err
    assert filled.ok("--home", "other", "config", "get", "max_retries").out == "9\n"


def test_a_line_that_is_wrong_is_refused_by_itself(filled: Cli) -> None:
    lines = filled.ok("export").out.splitlines()
    text = "\n".join([*lines[:3], *WRONG, *lines[3:]])
    result = filled("--home", "other", "import", "-", stdin=text)
    assert result.code == 2
    assert result.out == "Imported 3 jobs\n"
    assert [line.split(": ")[1] for line in result.err.splitlines()] == [
        f"standard input:{number}" for number in (4, 5, 6)
    ]


def test_a_file_of_a_newer_format_is_refused_whole(cli: Cli) -> None:
    text = '{"type": "queuectl", "format": 99}\n'
    assert "upgrade queuectl" in cli.refused(2, "import", "-", stdin=text)


def test_migrate_moves_all_and_the_old_store_refuses_jobs_and_workers(filled: Cli) -> None:
    result = filled.ok("migrate", "--to", "new.db", "-y")
    assert result.out.startswith("Moved 3 jobs to ")
    assert filled.ok("--store", "new.db", "list", "--json").json == filled.ok("list", "--json").json
    assert "was moved to" in filled.refused(4, "enqueue", "job9", "exit 0")
    assert "was moved to" in filled.refused(4, "worker", "start")
    assert "new.db" in filled.refused(4, "migrate", "--to", "other.db", "-y")
    assert not Path("other.db").exists()
    for change in ("retry", "cancel"):
        assert "migrate --release" in filled.refused(4, change, "waiting")
    assert "migrate --release" in result.err
    doctor = filled("doctor")
    assert doctor.code == 1
    assert "migrate --release" in doctor.out
    again = filled.ok("migrate", "-y", "--to", "new.db").out
    assert again == result.out.replace("\n", " before\n", 1)
    filled.ok("--store", "new.db", "enqueue", "more", "true")
    assert "in use again" in filled.ok("migrate", "--release").out
    assert "has been moved" in filled.refused(4, "migrate", "--to", "new.db", "-y")
    filled.ok("enqueue", "more", "true")


def test_deliveries_of_hooks_are_moved_and_not_counted_as_jobs(filled: Cli) -> None:
    with open_queue() as queue:
        added(queue.store, "hook:tells:1", queue=delivery_queue("tells"))
    assert "Move 3 jobs and all else" in filled.refused(2, "migrate", "--to", "new.db")
    assert filled.ok("migrate", "--to", "new.db", "-y").out.startswith("Moved 3 jobs to ")
    assert filled.ok("migrate", "--to", "new.db", "-y").out.startswith("Moved 3 jobs to ")
    assert filled.ok("--store", "new.db", "show", "hook:tells:1")


def test_migrate_wants_to_know_where_to(cli: Cli) -> None:
    cli.refused(2, "migrate")
    cli.refused(2, "migrate", "--to", "x.db", "--release")


def test_migrate_asks_a_person_and_needs_yes_elsewhere(filled: Cli) -> None:
    refused = filled.refused(2, "migrate", "--to", "new.db")
    assert "Move 3 jobs and all else" in refused
    assert "queuectl migrate --yes --to new.db" in refused
    assert not Path("new.db").exists()
    filled.ok("enqueue", "still", "true")
    refused = filled.refused(2, "migrate", "--to", "mongodb://me:hunter2@db1/queuectl")
    assert "hunter2" not in refused


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_migrate_does_what_a_person_answers(filled: Cli, answer: str, code: int) -> None:
    assert answered(["migrate", "--to", "new.db"], "Move 3 jobs and all else", answer) == code
    assert Path("new.db").exists() == (code == 0)
    assert filled("enqueue", "still", "true").code == (4 if code == 0 else 0)


ENDED = """
import os, signal, sys
from queuectl.cli import main
from queuectl.transfer import migration

whole = migration._compared

def compared(source, target):
    os.kill(os.getpid(), int(number))
    yield from whole(source, target)

number = sys.argv.pop(1)
migration._compared = compared
main()
"""
"""Is sent a signal in the middle of a migration."""


def migration_ended_by(number: signal.Signals, target: Path) -> Result:
    """Return how a migration ended that was sent a signal."""
    words = ["migrate", "--yes", "--to", str(target)]
    return program([sys.executable, "-c", ENDED, str(int(number)), *words])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_migration_that_is_asked_to_end_leaves_the_store_in_use(
    filled: Cli, tmp_path: Path, number: signal.Signals
) -> None:
    assert migration_ended_by(number, tmp_path / "other.db") == Result(128 + number, "", "")
    filled.ok("enqueue", "next", "true")
    filled.ok("migrate", "--yes", "--to", str(tmp_path / "third.db"))
    assert "this store was moved to" in filled.refused(4, "enqueue", "late", "true")


def test_a_migration_that_was_killed_is_not_called_done(filled: Cli, tmp_path: Path) -> None:
    target = tmp_path / "other.db"
    assert migration_ended_by(signal.SIGKILL, target).code == -signal.SIGKILL
    assert filled.refused(4, "enqueue", "late", "true") == (
        f"queuectl: this store is being moved to {target}, or was not moved completely; "
        f"run queuectl migrate --to {target} again, or queuectl migrate --release\n"
    )
    assert "is being moved to" in filled("doctor").out
    filled.ok("migrate", "--yes", "--to", str(target))
    assert "this store was moved to" in filled.refused(4, "enqueue", "late", "true")


def test_a_migration_that_is_refused_for_workers_makes_nothing(filled: Cli, tmp_path: Path) -> None:
    with open_queue() as queue:
        queue.store.workers.register(worker_record(queue.store, "w9"))
    to = tmp_path / "to"
    to.mkdir()
    refusal = filled.refused(4, "migrate", "--yes", "--to", str(to / "x.db"))
    assert refusal.endswith("; queuectl worker stop; then again\n")
    assert list(to.iterdir()) == []
