"""Hooks that are slow share a part of the room, and leave the rest to the others."""

from __future__ import annotations

import time

from queuectl.domain.job import Outcome
from queuectl.domain.queue_limits import delivery_queue
from queuectl.worker.deliveries.slow_hooks import SLOW_SECONDS, Sluggish

SLOW, QUICK = Outcome(duration=SLOW_SECONDS + 1), Outcome(exit_code=0, duration=0.1)
HOOKS = ("a", "b", "c")


def test_a_delivery_that_hangs_makes_its_hook_slow_before_it_has_ended() -> None:
    found = Sluggish(2)
    long_ago = time.monotonic() - SLOW_SECONDS - 1
    going = [("a", long_ago), ("b", long_ago)]
    assert found.claimable(going, HOOKS) == (delivery_queue("c"),)
    assert found.claimable(going, ("a", "b")) is None


def test_slow_hooks_get_no_more_once_they_have_their_share_until_they_are_quick_again() -> None:
    found = Sluggish(2)
    found.note("a", SLOW)
    now = time.monotonic()
    assert found.claimable([("a", now), ("b", now), ("b", now)], HOOKS) == (), "few are slow"
    assert found.claimable([("a", now), ("a", now)], HOOKS) == tuple(map(delivery_queue, "bc"))
    found.note("a", QUICK)
    assert found.claimable([("a", now), ("a", now)], HOOKS) == ()
