"""What the guard of a worker that was killed does about what that had noted."""

from __future__ import annotations

from contextlib import closing

import pytest

from queuectl.domain.job import State
from queuectl.stores import open_store
from queuectl.worker import crash_journal
from tests.stores.kit import SUCCESS, added, claimed, existing


@pytest.fixture(autouse=True)
def unmarked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do in this process what a guard does in one of its own."""
    monkeypatch.setattr(crash_journal, "bear_mark", lambda: None)


def test_what_was_given_to_a_worker_that_died_before_it_knew_is_given_back(
    store_url: str,
) -> None:
    with closing(open_store(store_url)) as store:
        for name in "ab":
            added(store, name)
        first, second = claimed(store), claimed(store)
        assert first.worker is not None
        claims = [first.claim_id, second.claim_id]
        notes = [crash_journal.asked(first.worker, claims), crash_journal.begun(second)]
        crash_journal.act_on(store_url, notes)
        back = existing(store, first.id)
        assert (back.state, back.attempts, back.history) == (State.PENDING, 0, ())
        assert existing(store, second.id).state is State.PROCESSING


def test_of_several_notes_on_one_claim_the_last_counts(store_url: str) -> None:
    with closing(open_store(store_url)) as store:
        added(store, "a")
        job = claimed(store)
        assert job.worker is not None
        notes = [
            crash_journal.asked(job.worker, [job.claim_id]),
            crash_journal.claimed([job]),
            crash_journal.begun(job),
            crash_journal.ended(job, SUCCESS, store.now()),
        ]
        crash_journal.act_on(store_url, notes)
        assert existing(store, "a").state is State.COMPLETED
