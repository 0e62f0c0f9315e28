"""The runs of schedules are enqueued on time, each once, whatever the clocks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from queuectl.domain.frozen import replace
from queuectl.domain.job import Job
from queuectl.domain.schedule import MISSED, OVERLAPPED, Schedule, moved_up, step
from queuectl.domain.settings import Settings
from queuectl.domain.times import UTC
from queuectl.maintenance import scheduler
from queuectl.maintenance.scheduler import Scheduler
from queuectl.stores.base import Store
from queuectl.stores.exchange import Fired
from queuectl.stores.mongo.store import MongoStore
from queuectl.system.cron import Cron
from queuectl.system.zones import tz_data
from tests.stores.conftest import OpenStore
from tests.stores.kit import SUCCESS, claimed, clock_of, existing, listed, settled

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
SETTINGS = Settings()


@dataclass
class Clock:
    """A store's clock, which the test moves."""

    now: datetime = NOON

    def of(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
        """Give a store this clock."""
        owner = store.link if isinstance(store, MongoStore) else clock_of(store)
        monkeypatch.setattr(owner, "now", lambda: self.now)
        return store


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a round take as long as a busy machine needs for it."""
    monkeypatch.setattr(scheduler, "BUSY_SECONDS", 60)


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


@pytest.fixture
def opened_then(
    opened: OpenStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Store]:
    """Open the same store as often as a test likes, each with the test's clock."""
    return lambda: clock.of(opened(), monkeypatch)


@pytest.fixture
def store(opened_then: Callable[[], Store]) -> Store:
    """A store with the test's clock."""
    return opened_then()


def kept(store: Store, name: str = "a", cron: str | None = "* * * * *", **more: Any) -> Schedule:
    """Store a schedule that is due a minute after noon."""
    fields = {"command": "true", **more.pop("fields", {})}
    wanted = {"tz": "UTC", "next_due": NOON + MINUTE, "created_at": NOON, **more}
    schedule = Schedule(name, cron, fields=fields, **wanted)
    assert store.schedules.save(schedule)
    return schedule


def now_kept(store: Store, name: str = "a") -> Schedule:
    """Return a schedule as it is stored."""
    found = store.schedules.get(name)
    assert found is not None
    return found


def tick(store: Store, since: datetime = NOON) -> int:
    """Play a worker that began at `since`; return how many runs it enqueued."""
    return Scheduler(store, since).enqueue_due(SETTINGS).enqueued


def finish_all(store: Store, number: int) -> None:
    """Play workers that run what is there."""
    for _ in range(number):
        settled(store, claimed(store))


def test_a_run_is_enqueued_when_it_is_due_as_settings_say_then(store: Store, clock: Clock) -> None:
    kept(store, fields={"queue": "night", "priority": "high"})
    assert tick(store) == 0
    clock.now += MINUTE
    assert Scheduler(store, NOON).enqueue_due(Settings(max_retries=7)).enqueued == 1
    job = store.get("a@20261122T1201Z")
    assert job is not None
    assert (job.spec.queue, job.spec.priority, job.spec.max_retries) == ("night", 10, 7)
    assert tick(store) == 0
    assert now_kept(store).next_due == NOON + 2 * MINUTE


def test_a_run_needs_the_memory_that_the_last_ones_used_where_a_setting_says_so(
    store: Store, clock: Clock
) -> None:
    kept(store)
    served = Scheduler(store, NOON)
    clock.now += MINUTE
    assert served.enqueue_due(Settings(need_usual_memory=True)).enqueued == 1
    first = settled(store, claimed(store), replace(SUCCESS, peak_memory=2**31))
    clock.now += MINUTE
    assert served.enqueue_due(Settings(need_usual_memory=True)).enqueued == 1
    second = existing(store, "a@20261122T1202Z")
    assert (first.spec.needs, second.spec.needs) == ((), (("memory", "2048M"),))


def test_the_next_schedule_is_seen_ahead(store: Store, clock: Clock) -> None:
    kept(store)
    kept(store, "paused", paused=True, next_due=NOON + SECOND)
    served = Scheduler(store, NOON)
    assert served.enqueue_due(SETTINGS, ahead=59).next_due is None
    assert served.enqueue_due(SETTINGS, ahead=60).next_due == NOON + MINUTE
    clock.now += MINUTE
    assert served.enqueue_due(SETTINGS, ahead=60).next_due is None


def test_missed_runs_are_dropped_unless_it_catches_up(store: Store, clock: Clock) -> None:
    kept(store, "dropping", "0 * * * *", next_due=NOON + HOUR)
    kept(store, "catching", "0 * * * *", next_due=NOON + HOUR, catch_up=True, overlap=True)
    clock.now += 3.5 * HOUR
    assert tick(store, since=clock.now) == 3
    assert sorted(listed(store)) == [f"catching@20261122T1{hour}00Z" for hour in (3, 4, 5)]
    dropping = now_kept(store, "dropping")
    assert (dropping.skipped_at, dropping.skipped_why) == (NOON + 3 * HOUR, MISSED)
    assert dropping.next_due == now_kept(store, "catching").next_due == NOON + 4 * HOUR


@pytest.mark.parametrize(
    ("ahead", "run"),
    [(10.5 * MINUTE, "a@20261122T1210Z"), (30 * 24 * HOUR, "a@20261222T1200Z")],
    ids=["a worker that was cut off", "a clock that is set forward"],
)
def test_of_many_runs_that_are_due_the_latest_is_enqueued(
    store: Store, clock: Clock, ahead: timedelta, run: str
) -> None:
    kept(store)
    clock.now += ahead
    assert tick(store) == 1
    assert listed(store) == [run]


def test_catching_up_without_overlap_runs_one_after_the_other(store: Store, clock: Clock) -> None:
    kept(store, catch_up=True)
    clock.now += 3.5 * MINUTE
    for minute in (1, 2, 3):
        assert tick(store, since=clock.now) == 1
        assert tick(store, since=clock.now) == 0, "the one before still waits"
        job = claimed(store)
        assert job.id == f"a@20261122T120{minute}Z"
        assert tick(store, since=clock.now) == 0, "the one before still runs"
        settled(store, job)
    assert tick(store) == 0
    assert now_kept(store).skipped_at is None


@pytest.mark.parametrize(
    ("limit", "number", "rounds"),
    [("MOST_RUNS", 4, [4, 4, 2, 0]), ("BUSY_SECONDS", 0, [1] * 10 + [0])],
)
def test_catching_up_takes_a_limited_number_at_a_time(
    store: Store,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    number: int,
    rounds: list[int],
) -> None:
    monkeypatch.setattr(scheduler, limit, number)
    kept(store, catch_up=True, overlap=True)
    clock.now += 10.5 * MINUTE
    assert [tick(store) for _ in rounds] == rounds
    assert len(listed(store)) == 10


def test_a_run_whose_predecessor_goes_on_is_skipped_and_noted(store: Store, clock: Clock) -> None:
    kept(store)
    clock.now += MINUTE
    assert tick(store) == 1
    clock.now += MINUTE
    assert tick(store) == 0
    after = now_kept(store)
    assert (after.skipped_at, after.skipped_why) == (NOON + 2 * MINUTE, OVERLAPPED)
    finish_all(store, 1)
    clock.now += MINUTE
    assert tick(store) == 1


def test_a_clock_that_is_set_back_repeats_no_run(store: Store, clock: Clock) -> None:
    kept(store)
    clock.now += MINUTE
    assert tick(store) == 1
    finish_all(store, 1)
    clock.now -= 2 * HOUR
    for _ in range(3):
        assert tick(store) == 0
        clock.now += MINUTE
    assert now_kept(store).next_due == NOON + 2 * MINUTE
    clock.now = NOON + 2 * MINUTE
    assert tick(store) == 1
    assert sorted(listed(store)) == ["a@20261122T1201Z", "a@20261122T1202Z"]


def test_workers_that_look_at_the_same_time_enqueue_one_run(
    opened_then: Callable[[], Store], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opened_then(), opened_then()
    kept(first)
    clock.now += MINUTE
    fire = first.schedules.fire

    def overtaken(before: Schedule, job: Job, after: Schedule) -> Fired:
        assert tick(second) == 1
        settled(second, claimed(second))
        return fire(before, job, after)

    monkeypatch.setattr(first.schedules, "fire", overtaken)
    assert tick(first) == 0
    assert listed(first) == ["a@20261122T1201Z"]


def test_one_bad_schedule_does_not_stop_the_others_and_is_told_of_once(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    kept(store, "bad1", "nonsense")
    kept(store, "bad2", fields={"timeout": "soon"})
    kept(store, "good")
    clock.now += MINUTE
    served = Scheduler(store, NOON)
    assert served.enqueue_due(SETTINGS).enqueued == 1
    assert served.enqueue_due(SETTINGS).enqueued == 0
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 2
    assert "'bad1' cannot be served here: cron 'nonsense' has 1 fields" in told[0]


def test_a_schedule_that_a_clock_which_was_ahead_has_added_waits_no_longer_than_its_cron_says(
    store: Store, clock: Clock
) -> None:
    kept(store, created_at=NOON + HOUR, next_due=NOON + HOUR + MINUTE)
    kept(store, "paused", paused=True, next_due=NOON + HOUR + MINUTE)
    assert tick(store) == 0
    assert now_kept(store).next_due == NOON + MINUTE
    assert now_kept(store, "paused").next_due == NOON + HOUR + MINUTE
    clock.now += MINUTE
    assert tick(store) == 1
    assert now_kept(store).last_due == NOON + MINUTE


BERLIN = "Europe/Berlin"
THREE = datetime(2026, 11, 23, 2, tzinfo=UTC)  # 3:00 there


@pytest.mark.parametrize("version", [None, "2020a"])
def test_what_was_reckoned_with_older_tz_data_is_reckoned_anew(
    store: Store, version: str | None
) -> None:
    kept(store, "late", "0 3 * * *", tz=BERLIN, next_due=THREE + HOUR, tz_version=version)
    kept(store, "early", "0 3 * * *", tz=BERLIN, next_due=THREE - HOUR, tz_version=version)
    assert tick(store) == 0
    for name in ("late", "early"):
        assert now_kept(store, name).next_due == THREE
        assert now_kept(store, name).tz_version == tz_data().in_use
    rev = now_kept(store, "late").rev
    assert tick(store) == 0
    assert now_kept(store, "late").rev == rev, "it is written once"


def test_a_late_run_by_older_tz_data_comes_when_it_is_due_by_the_newer(
    store: Store, clock: Clock
) -> None:
    kept(store, "a", "0 3 * * *", tz=BERLIN, next_due=THREE - HOUR, tz_version="2020a")
    clock.now = THREE - HOUR + MINUTE
    assert tick(store) == 0
    clock.now = THREE
    assert tick(store) == 1
    assert listed(store) == ["a@20261123T0200Z"]


def test_what_was_reckoned_with_newer_tz_data_is_left_alone(store: Store, clock: Clock) -> None:
    kept(store, "a", "0 3 * * *", tz=BERLIN, next_due=THREE + HOUR, tz_version="2999a")
    before = now_kept(store, "a")
    for _ in range(3):
        assert tick(store) == 0
    assert now_kept(store, "a") == before
    clock.now = THREE + HOUR
    assert tick(store) == 0, "a worker with newer data may be there"
    clock.now += MINUTE
    assert tick(store) == 1, "there is none"
    assert listed(store) == ["a@20261123T0300Z"]
    assert now_kept(store, "a").tz_version == tz_data().in_use


def test_an_interval_is_served_as_an_expression_is(store: Store, clock: Clock) -> None:
    every: dict[str, Any] = {"every": 90 * 60, "anchor": NOON, "next_due": NOON + 90 * MINUTE}
    kept(store, "dropping", None, **every)
    kept(store, "catching", None, **every, catch_up=True, overlap=True)
    assert tick(store) == 0
    clock.now += 90 * MINUTE
    assert tick(store) == 2
    finish_all(store, 2)
    clock.now += 180 * MINUTE + SECOND
    assert tick(store, since=clock.now - MINUTE) == 3
    assert sorted(listed(store))[-2:] == ["dropping@20261122T1330Z", "dropping@20261122T1630Z"]
    dropping = now_kept(store, "dropping")
    assert (dropping.skipped_at, dropping.skipped_why) == (NOON + 180 * MINUTE, MISSED)
    assert dropping.next_due == NOON + 360 * MINUTE
    assert dropping.tz_version is None


def test_an_interval_that_a_clock_which_was_ahead_has_set_too_late_is_moved_up(
    store: Store,
) -> None:
    later = NOON + HOUR
    kept(store, "a", None, every=600, anchor=later, next_due=later + 10 * MINUTE)
    assert tick(store) == 0
    assert now_kept(store, "a").next_due == NOON + 10 * MINUTE


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "15 */2 * * *", "0 3 * * 0"])
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 20, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 24, 20, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 9, tzinfo=UTC)),  # by half an hour
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 9, tzinfo=UTC)),
    ],
)
def test_no_run_is_moved_up_when_summer_time_begins_or_ends(
    zone: str, day: datetime, cron: str
) -> None:
    there, now = Cron(cron, zone), day
    schedule = Schedule("a", cron, zone, {}, there.following(now), now)
    for _ in range(16 * 6):
        now += 10 * MINUTE
        done = step(schedule, now, there.following, there.latest, now - 30 * SECOND)
        schedule = done.after if done else schedule
        assert moved_up(schedule, now, there.following) is None
