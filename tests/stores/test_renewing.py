"""Renewing: a worker keeps all its claims at once, and learns what became of each."""

from __future__ import annotations

from queuectl.domain import state_machine
from queuectl.domain.times import later
from queuectl.stores.base import Store
from queuectl.stores.exchange import HeldClaim, Renewal
from queuectl.stores.mongo.store import MongoStore
from queuectl.stores.sqlite.store import SqliteStore
from tests.stores.conftest import OpenStore
from tests.stores.faults import Commands
from tests.stores.kit import added, claimed, existing, settled


def held(store: Store, names: str, lease: float = 1.0) -> list[HeldClaim]:
    """Add jobs of these names and claim them; return the claims."""
    for name in names:
        added(store, name)
    jobs = [claimed(store, lease=lease) for _ in names]
    return [HeldClaim(job.id, job.claim.id) for job in jobs if job.claim]


def test_of_several_claims_each_is_told_its_own(store: Store) -> None:
    claims = held(store, "abcde")
    for job_id, change in (("b", state_machine.cancel), ("c", state_machine.pause)):
        assert store.commit(change(existing(store, job_id), store.now()))
    settled(store, existing(store, "d"))
    before = store.now()
    assert store.renew(claims, 100) == [
        Renewal.HELD, Renewal.CANCEL_REQUESTED, Renewal.PAUSED, Renewal.LOST, Renewal.HELD,
    ]  # fmt: skip
    for job_id in "abce":
        claim = existing(store, job_id).claim
        assert claim is not None
        assert later(before, 100) <= claim.lease_until <= later(store.now(), 100)
    assert existing(store, "d").claim is None


def test_the_answers_come_in_the_order_of_the_claims(store: Store) -> None:
    first, second, third = held(store, "abc")
    assert store.commit(state_machine.cancel(existing(store, "c"), store.now()))
    answers = store.renew([third, HeldClaim("absent", "claim"), first, second], 30)
    assert answers == [Renewal.CANCEL_REQUESTED, Renewal.LOST, Renewal.HELD, Renewal.HELD]


def test_a_claim_of_another_job_is_lost(store: Store) -> None:
    first, second = held(store, "ab")
    mixed = [HeldClaim("a", second.claim_id), HeldClaim("b", first.claim_id)]
    assert store.renew(mixed, 30) == [Renewal.LOST, Renewal.LOST]


def test_a_job_that_was_claimed_anew_is_lost_to_the_claim_before(store: Store) -> None:
    (old,) = held(store, "a")
    assert store.commit(state_machine.expire(existing(store, "a"), store.now(), 5))
    again = claimed(store, worker="w2")
    assert store.renew([old], 100) == [Renewal.LOST]
    assert existing(store, "a").claim == again.claim


def test_to_renew_nothing_writes_nothing(opened: OpenStore) -> None:
    store, other = opened(), opened()
    if isinstance(other, SqliteStore):
        version = other._db.version()
        assert store.renew([], 30) == []
        assert other._db.version() == version
    else:
        assert store.renew([], 30) == []


def test_mongodb_is_asked_twice_for_any_number_of_claims(
    watched_store: MongoStore, commands: Commands
) -> None:
    claims = held(watched_store, "abcdefgh", lease=60)
    commands.entries.clear()
    assert set(watched_store.renew(claims, 60)) == {Renewal.HELD}
    assert commands.names() == ["update", "find"]
