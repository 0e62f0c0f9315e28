"""What a newer version has written beside ours is left alone by all that this one does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from queuectl.domain.batch import Batch
from queuectl.domain.frozen import replace
from queuectl.domain.hooks import Hook, Target
from queuectl.domain.host import HostRecord
from queuectl.domain.job import State
from queuectl.domain.schedule import Schedule
from queuectl.queue import Queue
from queuectl.stores.base import Store
from queuectl.stores.mongo.connection import Link
from queuectl.stores.mongo.schema import MARK
from queuectl.stores.mongo.store import MongoStore
from queuectl.stores.records import (
    batch_from_text,
    batch_to_text,
    hook_from_text,
    hook_to_text,
    host_from_text,
    host_to_text,
)
from queuectl.system.home import Home
from queuectl.transfer.batch_lines import batch_from_line, batch_to_line
from tests.stores.kit import FAILURE, added, claimed, settled

NEWER = {"newer": {"deep": [1, "x"]}, "newer_text": "kept"}


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[MongoStore]:
    store = MongoStore.open(mongo_url)
    yield store
    store.close()


def test_hooks_batches_and_hosts_keep_it_in_their_texts(store: Store) -> None:
    now = store.now()
    hook = Hook("h", Target.COMMAND, "true", now)
    newer = json.dumps({**json.loads(hook_to_text(hook)), **NEWER})
    kept = replace(hook_from_text(newer), paused=True, rev=2)
    assert NEWER.items() <= json.loads(hook_to_text(kept)).items()
    batch = Batch("b", now)
    newer = json.dumps({**json.loads(batch_to_text(batch)), **NEWER})
    ended = replace(batch_from_text(newer), ends=1)
    assert NEWER.items() <= json.loads(batch_to_text(ended)).items()
    assert store.batches.save(ended)
    assert store.batches.get("b") == ended
    assert batch_from_line(batch_to_line(ended)) == ended
    host = HostRecord("a", 0, now)
    newer = json.dumps({**json.loads(host_to_text(host)), **NEWER})
    changed = host_from_text(newer).changed(drained_at=now)
    assert NEWER.items() <= json.loads(host_to_text(changed)).items()
    assert store.hooks.save(kept)
    assert store.hooks.get("h") == kept
    assert store.hooks.save(replace(kept, rev=3), kept)


def test_a_job_keeps_it_through_claim_failure_dlq_edit_and_retry(mongo: MongoStore) -> None:
    added(mongo, "a", max_retries=1)
    mongo.link.jobs.update_one({"_id": "a"}, {"$set": NEWER})

    def has_it(place: str = "jobs") -> bool:
        found = mongo.link.database[place].find_one({"_id": "a"}) or {}
        return NEWER.items() <= found.items()

    job = claimed(mongo)
    assert has_it()
    assert settled(mongo, job, FAILURE).state is State.DEAD
    assert has_it("dlq")
    queue = Queue(mongo, Home("/nowhere"))
    assert queue.retry("a").state is State.PENDING
    assert has_it()
    queue.edit("a", {"priority": 5, "command": "false"})
    assert has_it()
    queue.pause("a")
    queue.resume("a")
    queue.move("a")
    assert has_it()
    queue.cancel("a")
    assert has_it()


def test_a_schedule_and_a_worker_keep_it(mongo: MongoStore) -> None:
    now = mongo.now()
    schedule = Schedule("s", "* * * * *", "UTC", {"command": "true"}, now, now)
    assert mongo.schedules.save(schedule)
    mongo.link.schedules.update_one({"_id": "s"}, {"$set": NEWER})
    assert mongo.schedules.save(replace(schedule, paused=True, rev=schedule.rev + 1), schedule)
    assert NEWER.items() <= (mongo.link.schedules.find_one({"_id": "s"}) or {}).items()


def test_indexes_that_an_older_version_made_in_another_form_stay(new_mongo_url: str) -> None:
    MongoStore.open(new_mongo_url).close()
    link = Link(new_mongo_url)
    link.jobs.drop_index("cancelled")
    link.jobs.drop_index("due")
    link.jobs.create_index([("finished_at", 1)], name="cancelled")
    link.meta.update_one({"_id": MARK}, {"$set": {"indexed": 1}})
    store = MongoStore.open(new_mongo_url)
    added(store, "a")
    assert claimed(store).id == "a"
    found = link.jobs.index_information()
    assert found["cancelled"]["key"] == [("finished_at", 1)]
    assert "due" in found, "what was missing is made"
    store.close()
    link.close()
