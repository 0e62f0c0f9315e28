"""What is drawn on screens of different widths; no terminal is needed for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queuectl.domain.job import State
from queuectl.domain.query import Counts
from queuectl.domain.worker_record import LiveWorker, ProcessIdentity, WorkerRecord
from queuectl.presentation.layout import width
from queuectl.presentation.snapshot import Snapshot
from queuectl.watch.screen import draw, help_lines
from queuectl.watch.view import Mode, View
from tests.domain.jobs import NOW

WORKER = WorkerRecord("w1", ProcessIdentity(4711, "1", "b"), "here", "/home/me", (), NOW, NOW)
COUNTS = Counts({"default": dict.fromkeys(State, 12)})
SEEN = Snapshot("queue.db", is_known=True, now=NOW, counts=COUNTS)


def drawn(
    columns: int, rows: int = 24, view: View | None = None, seen: Snapshot = SEEN
) -> list[str]:
    """Return the lines of a screen."""
    lines = draw(seen, view or View(), columns, rows)
    assert len(lines) == rows
    texts = ["".join(text for _, text in line) for line in lines]
    assert all(width(text) <= columns for text in texts), texts
    return texts


@pytest.mark.parametrize("columns", [20, 40, 59, 60, 80, 200])
def test_the_help_fits_and_tells_every_key(columns: int) -> None:
    lines = list(help_lines(columns))
    assert all(width(line) <= columns for line in lines)
    told = " ".join(" ".join(lines).split())
    for what in ("pause the job,", "pause the job's queue", "cancel the job", "queue=NAME"):
        assert what in told
    assert drawn(columns, view=View(mode=Mode.HELP))[-1].strip() == "any key goes back"


def test_all_keys_are_at_the_foot_of_eighty_columns() -> None:
    assert drawn(80)[-1].endswith("d delete p pause")
    assert drawn(120)[-1].startswith(" q quit  ? help  Enter log ")
    assert drawn(30)[-1] == " q quit ? help Enter log"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_worker_with_many_jobs_in_hand_takes_one_line(columns: int) -> None:
    jobs = tuple(f"job{number:02}" for number in range(64))
    workers = (LiveWorker(replace(WORKER, slots=64), jobs),)
    screen = "\n".join(drawn(columns, seen=replace(SEEN, workers=workers)))
    assert "job01" not in screen
    if columns >= 80:
        assert "─ Workers 1, 1 busy, 64/64 slots ─" in screen
        assert "4711  busy  64/64  job00 +63" in screen


def test_a_worker_with_one_slot_shows_its_job_alone() -> None:
    workers = (LiveWorker(WORKER, ("job00", "claimed-and-not-begun")),)
    screen = "\n".join(drawn(80, seen=replace(SEEN, workers=workers)))
    assert "─ Workers 1, 1 busy ─" in screen
    assert "4711  busy  job00" in screen
    assert "+1" not in screen


def test_the_counts_give_up_their_names_before_their_numbers() -> None:
    assert "processing 12  completed 12" in drawn(120)[1]
    assert drawn(90)[1].split()[:4] == ["pending", "12", "processing", "12"]
    assert drawn(60)[1] == " pend 12 run 12 done 12 fail 12 dead 12 canc 12 total 72"
