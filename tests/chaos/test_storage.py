"""What is in the store when a writer is killed, and when a record is damaged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.job import State
from queuectl.domain.query import Filter, Page
from queuectl.domain.settings import Settings
from queuectl.maintenance import Maintenance
from queuectl.stores.sqlite.connection import connect
from queuectl.stores.sqlite.store import SqliteStore
from tests.stores.kit import added, claimed, claimed_ids, existing, settled
from tests.worker.fleet import eventually

ENQUEUES = 10_000
SEED = 20261122

WRITER = """
import sys
from pathlib import Path
from queuectl.system.home import Home, Location
from queuectl.queue import Queue

root, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
home = Home(root)
with Queue.open(Location(home, str(home.store_file))) as queue:
    settings = queue.settings()
    for number in range(first, first + count):
        queue.enqueue([queue.request({"id": f"job{number}", "command": "true"}, settings)])
        print(f"job{number}", flush=True)
"""


def test_every_acknowledged_job_is_there_after_its_writer_was_killed(tmp_path: Path) -> None:
    home, randomness = tmp_path / "home", random.Random(SEED)
    acknowledged: list[str] = []
    for writer in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), str(writer * ENQUEUES), str(ENQUEUES)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            for _ in range(randomness.randrange(50, 300)):
                acknowledged.append(process.stdout.readline().strip())
            process.kill()
            acknowledged += process.stdout.read().split("\n")[:-1]  # said before it died
    assert len(acknowledged) < 3 * ENQUEUES, "no writer was killed in the middle"
    with closing(SqliteStore(home / "queue.db")) as store:
        there = {job.id for job in store.find(Filter(), Page())}
        assert set(acknowledged) <= there
        assert len(there) <= len(acknowledged) + 3  # one each may be written and not told
        assert store.check() == []
        assert claimed(store, only=acknowledged[0])


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """An empty embedded store."""
    return SqliteStore(tmp_path / "queue.db")


def spoil(store: SqliteStore, table: str, row_id: str, **values: object) -> None:
    """Write what no version of the program would have written."""
    assignments = ", ".join(f"{name} = ?" for name in values)
    with closing(connect(Path(store.address))) as connection:
        connection.execute(
            f"UPDATE {table} SET {assignments} WHERE id = ?", [*values.values(), row_id]
        )


@pytest.mark.parametrize(
    "spoilt",
    [
        {"env": "no JSON"},
        {"labels": json.dumps(7)},
        {"run_at": "yesterday"},
        {"state": "zombie"},
        {"state": "completed"},
        {"created_at": 10**17},
    ],
)
def test_a_record_that_cannot_be_read_does_not_keep_others_from_being_claimed(
    store: SqliteStore, spoilt: dict[str, object]
) -> None:
    with closing(store):
        for job_id in ("first", "second", "third"):
            added(store, job_id)
        spoil(store, "jobs", "first", **spoilt)
        assert claimed_ids(store, 2) == ["second", "third"]


def test_a_record_that_cannot_be_read_does_not_stop_the_sweep_of_the_rest(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(store):
        jobs = []
        for job_id in ("spoilt-and-noted-once", "second", "third"):
            added(store, job_id)
            jobs.append(claimed(store, lease=0.05))
        spoil(store, "jobs", "spoilt-and-noted-once", env="no JSON")
        upkeep = Maintenance(store)

        def swept() -> bool:
            upkeep.tick(Settings(lease_seconds=0.1))
            return {existing(store, job.id).state for job in jobs[1:]} == {State.PENDING}

        assert eventually(swept, 10)
        noted = [record for record in caplog.records if "noted-once" in record.getMessage()]
        assert len(noted) == 1
        assert settled(store, claimed(store)).state is State.COMPLETED
