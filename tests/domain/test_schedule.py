"""What is done about a schedule that is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from queuectl.domain.errors import InvalidInput, NothingDone
from queuectl.domain.schedule import (
    MISSED,
    OVERLAPPED,
    Schedule,
    as_dict,
    check_schedule_name,
    is_spared,
    not_before,
    parse_run_id,
    pause,
    refuse_run_id,
    resume,
    run_id,
    step,
)
from queuectl.domain.times import UTC

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
LONG_AGO = NOON - 100 * HOUR


def following(instant: datetime) -> datetime:
    """Every full hour."""
    return instant.replace(minute=0, second=0, microsecond=0) + HOUR


def latest(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


HOURLY = Schedule("backup", "0 * * * *", "UTC", {"command": "true"}, NOON, LONG_AGO)
CATCHING_UP = replace(HOURLY, catch_up=True)


@pytest.mark.parametrize(
    "schedule", [HOURLY, replace(HOURLY, next_due=None), replace(HOURLY, paused=True)]
)
def test_nothing_is_done_before_a_run_is_due(schedule: Schedule) -> None:
    now = NOON - SECOND if schedule is HOURLY else NOON + HOUR
    assert step(schedule, now, following, latest, LONG_AGO) is None


@pytest.mark.parametrize("schedule", [HOURLY, CATCHING_UP])
def test_a_run_that_is_due_is_enqueued_and_the_next_one_awaited(schedule: Schedule) -> None:
    what = step(schedule, NOON + SECOND, following, latest, LONG_AGO)
    assert what is not None
    assert what.due == NOON
    assert what.after == replace(schedule, last_due=NOON, next_due=NOON + HOUR, rev=2)


def test_a_run_is_missed_when_no_worker_was_there() -> None:
    now = NOON + 60 * SECOND
    what = step(HOURLY, now, following, latest, watched_since=now - SECOND)
    assert what is not None
    assert what.due is None
    assert (what.after.skipped_at, what.after.skipped_why) == (NOON, MISSED)
    assert (what.after.last_due, what.after.next_due) == (NOON, NOON + HOUR)


def test_a_worker_that_begins_a_moment_late_still_enqueues_the_run() -> None:
    now = NOON + 5 * SECOND
    what = step(HOURLY, now, following, latest, watched_since=now)
    assert what is not None
    assert what.due == NOON


def test_a_worker_that_was_there_enqueues_the_latest_run_however_late_it_can() -> None:
    now = NOON + 2.5 * HOUR
    what = step(HOURLY, now, following, latest, LONG_AGO)
    assert what is not None
    assert what.due == NOON + 2 * HOUR
    assert what.after.next_due == NOON + 3 * HOUR
    assert (what.after.skipped_at, what.after.skipped_why) == (NOON, MISSED)


def test_catching_up_takes_missed_runs_one_by_one() -> None:
    now = NOON + 2.5 * HOUR
    schedule, dues = CATCHING_UP, []
    while what := step(schedule, now, following, latest, watched_since=now):
        dues.append(what.due)
        assert what.skipped is None, "a run that overlaps is enqueued later"
        schedule = what.after
    assert dues == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert schedule.next_due == NOON + 3 * HOUR


def test_a_run_whose_predecessor_goes_on_is_noted_as_skipped() -> None:
    what = step(HOURLY, NOON, following, latest, LONG_AGO)
    assert what is not None
    assert what.skipped == replace(what.after, skipped_at=NOON, skipped_why=OVERLAPPED)


def test_a_schedule_that_is_never_due_again_is_left_alone() -> None:
    what = step(HOURLY, NOON, lambda _: None, latest, LONG_AGO)
    assert what is not None
    assert what.after.next_due is None
    assert step(what.after, NOON + 9 * HOUR, following, latest, LONG_AGO) is None


def test_what_was_due_while_it_was_paused_is_dropped() -> None:
    resumed = resume(pause(CATCHING_UP), NOON + 2.5 * HOUR, following)
    assert resumed == replace(CATCHING_UP, next_due=NOON + 3 * HOUR, rev=3)


def test_resuming_after_a_step_of_the_clock_does_not_go_back() -> None:
    ahead = replace(HOURLY, last_due=NOON, next_due=NOON + HOUR)
    resumed = resume(pause(ahead), NOON - 5 * HOUR, following)
    assert resumed.next_due == NOON + HOUR
    assert not_before(HOURLY, NOON - 5 * HOUR, following) == NOON - 4 * HOUR


def test_pausing_or_resuming_twice_does_nothing() -> None:
    with pytest.raises(NothingDone, match="paused already"):
        pause(pause(HOURLY))
    with pytest.raises(NothingDone, match="not paused"):
        resume(HOURLY, NOON, following)


def test_runs_of_one_schedule_share_a_key_unless_they_may_overlap() -> None:
    assert HOURLY.unique == "schedule:backup"
    assert replace(HOURLY, overlap=True).unique is None


def test_a_run_is_named_after_its_schedule_and_instant() -> None:
    assert run_id("backup", NOON) == "backup@20261122T1200Z"
    assert parse_run_id("backup@20261122T1200Z") == ("backup", NOON)
    assert parse_run_id("a@b@20261122T1200Z") == ("a@b", NOON)


@pytest.mark.parametrize(
    "word", ["backup", "me@host", "a@20261322T1200Z", "a@20261122T1200", "@20261122T1200Z", "a@"]
)
def test_other_ids_are_no_runs_and_free_to_be_used(word: str) -> None:
    assert parse_run_id(word) is None
    refuse_run_id(word)


def test_the_ids_of_runs_are_refused_to_others() -> None:
    with pytest.raises(InvalidInput, match="belongs to schedules"):
        refuse_run_id("backup@20261122T1200Z")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 114, "é"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not valid"):
        check_schedule_name(name)
    assert check_schedule_name("a" * 113) == "a" * 113


@pytest.mark.parametrize(
    ("job_id", "now", "expected"),
    [
        ("backup@20261122T1200Z", NOON + 9 * HOUR, True),  # not dealt with yet
        ("backup@20261122T1100Z", NOON + 9 * HOUR, False),
        ("backup@20261122T1100Z", NOON - 0.5 * HOUR, True),  # a late worker may ask for it
        ("other@20261122T1200Z", NOON, False),
        ("backup", NOON, False),
    ],
)
def test_a_run_that_might_be_enqueued_again_is_spared(
    job_id: str, now: datetime, expected: bool
) -> None:
    schedule = replace(HOURLY, last_due=NOON - HOUR)
    assert is_spared(job_id, {"backup": schedule}, now) is expected


def test_a_schedule_is_told_without_its_secrets() -> None:
    fields = {"command": ["a", "b"], "env": {"DB_PASSWORD": "x", "MODE": "y"}}
    told = as_dict(replace(HOURLY, fields=fields))
    assert told["job"] == {"command": ["a", "b"], "env": {"DB_PASSWORD": "********", "MODE": "y"}}
    assert told["next_due"] == "2026-11-22T12:00:00.000Z"
    assert told["last_due"] is None
