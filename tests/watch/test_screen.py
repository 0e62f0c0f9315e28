"""What is drawn on screens of different widths; no terminal is needed for that."""

from __future__ import annotations

import pytest

from queuectl.domain.job import State
from queuectl.domain.query import Counts
from queuectl.presentation.layout import width
from queuectl.presentation.snapshot import Snapshot
from queuectl.watch.screen import draw, help_lines
from queuectl.watch.view import Mode, View
from tests.domain.jobs import NOW

COUNTS = Counts({"default": dict.fromkeys(State, 12)})
SEEN = Snapshot("queue.db", is_known=True, now=NOW, counts=COUNTS)


def drawn(columns: int, rows: int = 24, view: View | None = None) -> list[str]:
    """Return the lines of a screen."""
    lines = draw(SEEN, view or View(), columns, rows)
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


def test_the_counts_give_up_their_names_before_their_numbers() -> None:
    assert "processing 12  completed 12" in drawn(120)[1]
    assert drawn(90)[1].split()[:4] == ["pending", "12", "processing", "12"]
    assert drawn(60)[1] == " pend 12 run 12 done 12 fail 12 dead 12 canc 12 total 72"
