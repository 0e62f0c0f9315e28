"""How slots are shared between the workers of a supervisor and those for suspects."""

from __future__ import annotations

import pytest

from queuectl.worker.slot_shares import SlotShare, SlotTable

SLOTS = 6


def shares(workers: int) -> tuple[SlotTable, list[SlotShare]]:
    """A table, and the workers in it, in which nothing runs."""
    table = SlotTable(workers)
    some = [SlotShare(table, place, (), lambda: None) for place in range(workers)]
    for each in some:
        each.note(SLOTS, 0)
    return table, some


def test_without_suspects_each_worker_has_all_its_slots() -> None:
    table, workers = shares(2)
    assert [each.of(SLOTS) for each in workers] == [SLOTS, SLOTS]
    assert workers[0].next_look == float("inf")
    assert table.free == 2 * SLOTS - 2


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("suspects", range(25))
def test_there_are_no_more_jobs_than_slots_and_each_worker_keeps_one(
    workers: int, suspects: int
) -> None:
    table, some = shares(workers)
    table.suspects = suspects
    for each in some:
        each.plan(SLOTS, 0)
    table.runners = min(suspects, table.free)
    table.suspects = suspects - table.runners
    own = [each.of(SLOTS) for each in some]
    assert all(own)
    assert table.runners >= min(suspects, workers * SLOTS - workers) - workers
    assert sum(own) + table.runners <= workers * SLOTS


def test_where_all_slots_are_in_use_nothing_is_free_until_a_job_ends() -> None:
    table, (worker,) = shares(1)
    table.suspects = 2
    worker.note(SLOTS, SLOTS)
    assert table.free == 0
    assert worker.of(SLOTS) == SLOTS - 2
    worker.note(SLOTS, SLOTS - 1)
    assert table.free == 1


def test_what_a_worker_is_about_to_claim_for_is_in_use() -> None:
    table, (worker,) = shares(1)
    worker.plan(SLOTS, 1)
    assert table.free == 0
    worker.note(SLOTS, 1)
    assert table.free == SLOTS - 1


def test_a_worker_that_has_ended_uses_nothing_and_one_that_is_not_replaced_has_no_slots() -> None:
    table, (first, second) = shares(2)
    first.note(SLOTS, SLOTS)
    table.vacate(0, is_for_good=False)
    assert table.free == 2 * SLOTS - 2
    table.vacate(0, is_for_good=True)
    assert table.free == SLOTS - 1
    table.suspects = 2
    assert second.of(SLOTS) == SLOTS - 2


def test_a_worker_of_one_slot_gives_none_away() -> None:
    table, (worker,) = shares(1)
    worker.note(1, 0)
    table.suspects = 3
    assert worker.of(1) == 1
    assert table.free == 0
