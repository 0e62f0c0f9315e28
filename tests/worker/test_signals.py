"""What a worker is told from outside, and when it must act on it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from queuectl.system.polling import wait_readable
from queuectl.system.processes import boot_clock
from queuectl.worker.signals import LEAVE, LEAVE_NOW, STOP_SIGNALS, Control, Halt

TAKEN_OVER = (*STOP_SIGNALS, signal.SIGCHLD, signal.SIGHUP)


@pytest.fixture
def control() -> Iterator[Control]:
    """A control that has taken over the signals of this process for one test."""
    before = {number: signal.getsignal(number) for number in TAKEN_OVER}
    control = Control()
    control.install()
    yield control
    control.close()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that signals come at; a test moves it on."""
    times = [100.0]
    monkeypatch.setattr("queuectl.worker.signals.time.monotonic", lambda: times[0])
    return times


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_ctrl_c_asks_to_leave_and_pressed_again_at_once(
    control: Control, clock: list[float]
) -> None:
    send(signal.SIGINT)
    assert (control.is_stopping, control.halt("run")) == (True, None)
    clock[0] += 1
    send(signal.SIGINT)
    assert control.halt("run") is Halt.RELEASE


@pytest.mark.parametrize("earlier", [(), (LEAVE,), (signal.SIGINT,), (LEAVE, LEAVE, signal.SIGINT)])
def test_a_request_to_leave_kills_no_job_whatever_came_before_it(
    control: Control, clock: list[float], earlier: tuple[signal.Signals, ...]
) -> None:
    for number in (*earlier, LEAVE):
        send(number)
        clock[0] += 1
    assert (control.is_stopping, control.halt("run")) == (True, None)


def test_one_request_to_leave_at_once_is_enough(control: Control) -> None:
    send(LEAVE_NOW)
    assert control.halt("run") is Halt.RELEASE


class InTheMiddle(float):
    """A number that sends a signal while it is compared for the first time."""

    is_sent = False

    def __gt__(self, other: float) -> bool:
        if not self.is_sent:
            self.is_sent = True
            send(LEAVE_NOW)
        return False


def test_a_signal_in_the_middle_of_another_is_not_lost(control: Control) -> None:
    control.set_stop_grace(InTheMiddle())
    send(signal.SIGTERM)
    assert control.stop_level == 2


def test_a_signal_that_comes_twice_at_once_counts_once(
    control: Control, clock: list[float]
) -> None:
    send(signal.SIGINT)
    clock[0] += 0.05
    send(signal.SIGINT)
    assert control.stop_level == 1


def test_a_signal_wakes_whoever_sleeps_on_the_descriptor(control: Control) -> None:
    assert not wait_readable([control.wake], 0)
    send(signal.SIGTERM)
    assert wait_readable([control.wake], 5)
    control.settle_down()
    assert not wait_readable([control.wake], 0)


def test_a_hangup_is_ignored(control: Control) -> None:
    send(signal.SIGHUP)
    assert not control.is_stopping


def test_a_stop_with_a_grace_releases_the_run_when_it_is_over(
    control: Control, clock: list[float]
) -> None:
    control.set_stop_grace(5)
    control.request_stop()
    assert control.halt("run") is None
    assert control.next_check(["run"]) == 5
    clock[0] += 5
    assert control.halt("run") is Halt.RELEASE


def test_what_is_said_of_another_claim_does_not_stop_this_run(control: Control) -> None:
    for claim in ("other", "run"):
        control.hold(claim, boot_clock() + 60)
    control.cancel("other")
    control.lose("other")
    assert control.halt("run") is None
    control.cancel("run")
    assert control.halt("run") is Halt.CANCEL
    control.lose("run")
    assert control.halt("run") is Halt.LOST


def test_a_run_that_was_not_renewed_is_lost_at_its_fence(control: Control) -> None:
    for claim in ("run", "other"):
        control.hold(claim, boot_clock() + 60)
    assert control.halt("run") is None
    assert 0 < control.next_check(["run", "other"]) <= 60
    control.fence("run", boot_clock())
    assert control.halt("run") is Halt.LOST
    assert control.next_check(["run", "other"]) == 0
    assert control.halt("other") is None
    assert 0 < control.next_check(["other"]) <= 60
    assert not control.is_fenced
    control.fence("other", boot_clock())
    assert control.is_fenced


def test_what_was_said_of_a_claim_is_forgotten_with_it(control: Control) -> None:
    control.hold("run", boot_clock() + 60)
    control.pause("run", is_paused=True)
    control.cancel("run")
    control.lose("run")
    control.let_go("run")
    for told in (control.cancel, control.lose, partial(control.pause, is_paused=True)):
        told("run")  # the heartbeat had asked before it was let go of
    control.fence("run", boot_clock())
    assert control.halt("run") is None
    assert not control.is_paused("run")
    assert not control.is_fenced
    assert control.next_check(["run"]) > 0


def test_news_are_told_from_the_end_of_a_child(control: Control) -> None:
    control.hold("run", boot_clock() + 60)
    seen = control.news
    send(signal.SIGCHLD)
    assert wait_readable([control.wake], 5)
    assert control.news is seen
    for tell in (
        partial(control.pause, "run", is_paused=True),
        partial(control.pause, "run", is_paused=False),
        partial(control.cancel, "run"),
        partial(control.lose, "run"),
        control.request_stop,
    ):
        tell()
        assert control.news is not seen
        seen = control.news


def test_asking_does_not_take_time(control: Control) -> None:
    begun = time.monotonic()
    for _ in range(10_000):  # more than the descriptor's pipe holds
        control.rouse()
    assert time.monotonic() - begun < 30
    control.settle_down()


def test_two_that_tell_at_once_are_both_heard(control: Control) -> None:
    heard: list[object] = []

    class ReadJustBefore(int):
        """A count of news to which another thread adds before this one has."""

        def __add__(self, other: int) -> int:
            control.news = int(self) + other
            heard.append(control.news)  # the loop has acted on it already
            return int(self) + other

    control.news = ReadJustBefore(1)
    control.tell()
    assert control.news not in heard


def test_the_fence_of_one_claim_stops_no_other(control: Control) -> None:
    control.hold("late", boot_clock() - 1)
    control.hold("renewed", boot_clock() + 60)
    assert (control.halt("late"), control.halt("renewed")) == (Halt.LOST, None)
    assert not control.is_fenced
    control.fence("late", boot_clock() + 60)
    assert control.halt("late") is None
