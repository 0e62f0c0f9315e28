"""A store's file from before a field was there gets its column when it is opened."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.errors import StoreRefused
from queuectl.domain.job_fields import FIELDS
from queuectl.stores import open_store
from queuectl.stores.sqlite.schema import LATER, LAYOUT, SCHEMA_VERSION
from tests.stores.kit import added, buried, claimed, existing, settled, worker_record

FROM_BEFORE = [field for field in FIELDS.values() if field.name in ("timeout", "cwd", "clean_env")]


def with_an_older_file(path: Path) -> None:
    """Make a store with a job, as it was before some fields were there."""
    with closing(open_store(str(path))) as store:
        added(store, "old")
        store.workers.register(worker_record(store, "w1"))
    with closing(sqlite3.connect(path)) as database:
        dropped = [("jobs", field.column) for field in FROM_BEFORE]
        dropped += [(table, each.split()[0]) for table, some in LATER.items() for each in some]
        database.execute("DROP INDEX jobs_suspects")
        for table, column in dropped:
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION - len(dropped)}")
        database.commit()


@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 35), reason="SQLite cannot drop a column")
def test_a_file_gets_the_columns_of_later_fields_with_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with_an_older_file(path)
    with closing(open_store(str(path))) as store:
        old = claimed(store)
        assert [getattr(old.spec, field.name) for field in FROM_BEFORE] == [
            field.default for field in FROM_BEFORE
        ]
        assert store.check() == []
        assert (old.suspect, old.runs_alone) == (False, True)
        assert [worker.slots for worker in store.workers.all()] == [1]
        settled(store, old)
        added(store, "new", cwd="/srv", timeout=2.0, clean_env=True)
        new = store.get("new")
        assert new is not None
        assert (new.spec.cwd, new.spec.timeout, new.spec.clean_env) == ("/srv", 2.0, True)
        lost = claimed(store, alone=False)
        assert store.commit(state_machine.expire(lost, store.now(), 5))
        assert existing(store, "new").suspect
        assert store.ready_suspects((), 9) == 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA index_info(jobs_suspects)").fetchall()
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_file_of_an_earlier_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    open_store(str(path)).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION - LAYOUT * 1000}")
    with pytest.raises(StoreRefused, match="development version"):
        open_store(str(path))


def test_the_dlq_can_be_looked_into_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with closing(open_store(str(path))) as store:
        buried(store, "dead1")
        added(store, "alive")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT id FROM dlq").fetchall() == [("dead1",)]
