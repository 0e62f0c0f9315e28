"""Receivers that ask for a pause get it: Retry-After on 429 and 503, a day at most."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from queuectl.domain.hooks import DELIVERY_BACKOFF_BASE
from queuectl.domain.job import Claim, Outcome, State
from queuectl.domain.state_machine import claim, finish
from queuectl.domain.times import UTC
from queuectl.hooks import LONGEST_WAIT, DeliveryError
from queuectl.hooks.webhook import deliver, retry_after
from queuectl.queue.hook_deliveries import delivery_job
from tests.hooks.kit import hook
from tests.hooks.receiver import Receiver
from tests.hooks.test_webhook import DEAD
from tests.worker.fleet import Fleet, eventually

MOMENT = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON = MOMENT.timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("Sunday, 22-Nov-26 12:01:30 GMT", 90),
        ("Sun Nov 22 12:01:30 2026", 90),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 22 Nov 2099 11:00:00 GMT", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("²", 0),
        ("Sun, 99 Nov 2026 12:00:00 GMT", 0),
    ],
)
def test_a_pause_is_read_in_seconds_and_as_a_date(value: str, seconds: float) -> None:
    assert retry_after(value, NOON) == seconds


@pytest.mark.parametrize(
    ("code", "seconds"), [(429, 300), (503, 300), (500, 0), (502, 0), (404, 0), (307, 0)]
)
def test_it_counts_where_a_receiver_is_told_too_much_or_is_away_for_now(
    receiver: Receiver, code: int, seconds: float
) -> None:
    receiver.answers, receiver.retry_after = [code], "300"
    with pytest.raises(DeliveryError) as caught:
        deliver(hook(address=receiver.url), DEAD, "d1")
    assert caught.value.retry_after == seconds
    assert ("; it asks for 300s" in str(caught.value)) == bool(seconds)


def test_a_delivery_waits_as_long_as_its_receiver_asks(either: Fleet, receiver: Receiver) -> None:
    receiver.answers, receiver.retry_after = [429], "7200"
    either.queue.hooks.add(hook("told", address=receiver.url, events=("dead",)))
    either.start()
    either.ran("exit 3")
    (found,) = eventually(lambda: list(either.queue.hooks.deliveries("told", 1)))
    failed = eventually(lambda: (job := either.job(found.id)).state is State.FAILED and job)
    assert failed.last_error == "hook 'told': 127.0.0.1 answered HTTP 429; it asks for 7200s"
    assert failed.finished_at is not None
    assert failed.run_at - failed.finished_at == timedelta(seconds=7200)


@pytest.mark.parametrize(("asked", "waits"), [(1.0, DELIVERY_BACKOFF_BASE), (9.0, 9.0)])
def test_the_longer_of_backoff_and_pause_counts(asked: float, waits: float) -> None:
    job = delivery_job(hook(), DEAD, "1", MOMENT)
    right = Claim("c", "w", MOMENT + timedelta(minutes=1))
    taken = claim(job, right, MOMENT).after
    assert taken is not None
    after = finish(taken, Outcome(exit_code=75, error="no", retry_after=asked), MOMENT).after
    assert after is not None
    assert after.run_at == MOMENT + timedelta(seconds=waits)
