"""Finding jobs by how their ids begin, and stores by whether they are there."""

from __future__ import annotations

import pytest

from queuectl.domain.query import Filter, Page
from queuectl.stores import open_existing, open_store
from queuectl.stores.base import Store
from tests.stores.kit import FAILURE, added, claimed, settled


def found(store: Store, prefix: str) -> list[str]:
    """Return the ids that begin so, the newest first."""
    return [job.id for job in store.find(Filter(id_prefix=prefix), Page(newest_first=True))]


@pytest.fixture
def mongo_url(new_mongo_url: str) -> str:
    """A database in which nothing is yet."""
    return new_mongo_url


def test_jobs_are_found_by_how_their_ids_begin(store: Store) -> None:
    for job_id in ("job1", "job.2", "job1.x", "other"):
        added(store, job_id)
    settled(store, claimed(store, only="job1"), FAILURE)
    assert found(store, "job1") == ["job1.x", "job1"]
    assert found(store, "job.") == ["job.2"], "a dot is a dot"
    assert found(store, "") == ["other", "job1.x", "job.2", "job1"]
    assert found(store, "x") == []


def test_a_store_is_there_once_it_has_been_opened(store_url: str) -> None:
    assert open_existing(store_url) is None
    assert open_existing(store_url) is None, "looking has made nothing"
    open_store(store_url).close()
    found = open_existing(store_url)
    assert found is not None
    found.close()
