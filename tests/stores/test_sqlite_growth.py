"""What a claim, a settlement and an enqueue cost does not grow with the jobs that are queued.

What is read of the file is counted by the kernel, and what SQLite does by its own instructions:
a hundred times as many jobs make each B-tree a level deeper, and nothing else.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain import state_machine
from queuectl.domain.alike import AlikeJobs
from queuectl.domain.query import Filter
from queuectl.stores.sqlite.store import SqliteStore
from queuectl.system.ids import new_job_id
from tests.stores.kit import SUCCESS, added, claimed, listed, new_job, request

FEW, MANY = 1_000, 100_000
PAGE_BYTES = 4096
TREES = 12
"""More B-trees than one of these touches: the table of jobs, those of counters, their indexes."""


Act = Callable[[SqliteStore], object]


def settle_and_claim(store: SqliteStore) -> None:
    change = state_machine.finish(claimed(store), SUCCESS, store.now())
    assert store.commit_and_claim([change], [request()])[1]


ACTS: dict[str, Act] = {
    "claim": claimed,
    "settle and claim": settle_and_claim,
    "enqueue": lambda store: added(store, new_job_id()),
    "counts": SqliteStore.counts,
}
SEARCH = Filter(texts=("nosuch",))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two stores with jobs, whose ids are in no order."""
    with closing(SqliteStore(_filled(tmp_path_factory.mktemp("first"), FEW))) as store:
        for act in ACTS.values():
            act(store)  # loads what is loaded once
    return {number: _filled(tmp_path_factory.mktemp("store"), number) for number in (FEW, MANY)}


def _filled(directory: Path, number: int) -> Path:
    path = directory / "queue.db"
    store = SqliteStore(path)
    chosen = random.Random(number)
    ids = [f"{chosen.getrandbits(60):015x}" for _ in range(number)]
    assert not store.insert(AlikeJobs(new_job(store, ""), ids, ["true"] * number))
    store.close()
    return path


@pytest.fixture
def opened(stores: dict[int, Path]) -> Iterator[dict[int, SqliteStore]]:
    """These stores, just opened: nothing of them is in memory."""
    some = {number: SqliteStore(path) for number, path in stores.items()}
    yield some
    for store in some.values():
        store.close()


def pages_read(store: SqliteStore, act: Act) -> int:
    """Return how many pages the kernel read for this process meanwhile, from the disk or not."""
    before = _bytes_read()
    act(store)
    return (_bytes_read() - before) // PAGE_BYTES


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def instructions(store: SqliteStore, act: Act) -> int:
    """Return how many instructions of its own SQLite ran meanwhile."""
    ran = 0

    def count() -> int:
        nonlocal ran
        ran += 1
        return 0

    store._db.connection.set_progress_handler(count, 1)
    act(store)
    store._db.connection.set_progress_handler(None, 0)
    return ran


def search(store: SqliteStore) -> None:
    assert not listed(store, SEARCH)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count is Linux's")
@pytest.mark.parametrize("name", ACTS)
def test_hardly_more_pages_are_read_where_a_hundred_times_as_many_jobs_are_queued(
    opened: dict[int, SqliteStore], name: str
) -> None:
    few, many = (pages_read(store, ACTS[name]) for store in opened.values())
    assert many <= few + TREES


@pytest.mark.parametrize("name", ACTS)
def test_hardly_more_is_done_where_a_hundred_times_as_many_jobs_are_queued(
    opened: dict[int, SqliteStore], name: str
) -> None:
    few, many = (instructions(store, ACTS[name]) for store in opened.values())
    assert many <= few * 1.1


def test_what_looks_at_all_jobs_would_be_seen(opened: dict[int, SqliteStore]) -> None:
    few, many = (instructions(store, search) for store in opened.values())
    assert many > 50 * few


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count is Linux's")
def test_what_reads_all_pages_would_be_seen(opened: dict[int, SqliteStore]) -> None:
    few, many = (pages_read(store, search) for store in opened.values())
    assert many > 50 * few
