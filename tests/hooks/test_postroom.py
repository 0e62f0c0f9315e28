"""What goes out does so from a process of its own, which ends it all when its courier has gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from queuectl.domain.hooks import NOT_NOW, Hook, Target
from queuectl.domain.job import Outcome
from queuectl.domain.times import EPOCH
from queuectl.system.processes import boot_clock
from queuectl.worker.deliveries.senders import Limits, Postroom, PostroomGone
from tests.worker.fleet import eventually, lives, pids_in

RUN = token_hex(12)
"""The id of a run; what bears it is found on the whole machine."""

FACTS = {"event": "test", "at": "2026-01-01T00:00:00.000Z"}


@contextmanager
def postroom(tmp_path: Path) -> Iterator[Postroom]:
    kept = os.open(tmp_path / "kept", os.O_RDWR | os.O_CREAT)
    room = Postroom(kept)
    try:
        yield room
    finally:
        room.close()
        os.close(kept)


def local(command: str, tmp_path: Path) -> Hook:
    return Hook("local", Target.COMMAND, command, EPOCH, ("dead",), cwd=str(tmp_path))


def ended(room: Postroom) -> dict[str, Outcome]:
    return eventually(lambda: room.endings() or False)


def test_what_a_delivery_says_and_how_it_ends_comes_back(tmp_path: Path) -> None:
    with postroom(tmp_path) as room:
        room.begin(
            RUN, local("echo out; echo err >&2; exit 3", tmp_path), FACTS, "name", Limits(30)
        )
        outcome = ended(room)[RUN]
    assert (outcome.exit_code, outcome.stdout) == (NOT_NOW, "out\n")
    assert outcome.stderr == "err\nhook 'local': the command ended with 3\n"


def test_a_delivery_that_takes_too_long_is_ended_with_all_that_it_began(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"trap '' TERM; setsid sh -c 'echo $$ >> {pids}; sleep 60' & echo $$ >> {pids}; wait"
    with postroom(tmp_path) as room:
        room.begin(RUN, local(command, tmp_path), FACTS, "name", Limits(3.0))
        began = eventually(lambda: len(found := pids_in(pids)) == 2 and found)
        outcome = ended(room)[RUN]
        assert outcome.timed_out
        assert outcome.error == "the delivery took longer than 3 s"
        eventually(lambda: not any(map(lives, began)))


def test_several_deliveries_go_out_at_once_and_one_can_be_ended(tmp_path: Path) -> None:
    with postroom(tmp_path) as room:
        room.begin("slow", local("sleep 60", tmp_path), FACTS, "name", Limits(30))
        room.begin("quick", local("true", tmp_path), FACTS, "name", Limits(30))
        assert ended(room)["quick"].succeeded
        room.end("slow")
        assert ended(room)["slow"].signal == signal.SIGKILL


def test_a_delivery_ends_when_its_lease_does_unless_that_is_renewed(tmp_path: Path) -> None:
    command, now = f"touch {tmp_path}/begun; sleep 60", boot_clock()
    kept, lost = token_hex(12), token_hex(12)
    with postroom(tmp_path) as room:
        lasting = local("sleep 3.5; echo kept", tmp_path)
        room.begin(kept, lasting, FACTS, "name", Limits(60, now + 3))
        room.extend(kept, now + 60)
        room.begin(lost, local(command, tmp_path), FACTS, "name", Limits(60, now + 2))
        found: dict[str, Outcome] = {}
        eventually(lambda: found.update(room.endings()) or len(found) == 2)
    assert found[lost].interrupted
    assert found[kept].succeeded


def test_nothing_goes_on_for_a_courier_that_has_gone(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"echo $$ >> {pids}; sleep 120"
    with postroom(tmp_path) as room:
        room.begin(RUN, local(command, tmp_path), FACTS, "name", Limits(60))
        (began,) = eventually(lambda: pids_in(pids) or False)
    eventually(lambda: not lives(began), within=20)


def test_a_postroom_that_has_died_is_missed(tmp_path: Path) -> None:
    with postroom(tmp_path) as room:
        os.kill(room.pid, signal.SIGKILL)
        with pytest.raises(PostroomGone):
            eventually(lambda: room.endings() or False)
