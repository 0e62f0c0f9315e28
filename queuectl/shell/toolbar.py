"""The two rows at the bottom: help on what is being typed, and how the store stands."""

from __future__ import annotations

from prompt_toolkit.formatted_text import StyleAndTextTuples

from queuectl.domain.job import State
from queuectl.presentation.layout import cut, cut_start, fit
from queuectl.presentation.layout import width as width_of
from queuectl.shell.grammar import help_at
from queuectl.shell.snapshot import Snapshot

TIP = "Tab completes, help lists the commands, Ctrl-D leaves"
_BETWEEN = " | "
_MOST_PAUSED = 2
_SHOWN = (
    State.PENDING,
    State.PROCESSING,
    State.FAILED,
    State.DEAD,
    State.COMPLETED,
    State.CANCELLED,
)


def toolbar(line: str, cursor: int, snapshot: Snapshot, width: int) -> StyleAndTextTuples:
    """Return both rows, cut to the width of the terminal."""
    style = "class:toolbar.trouble" if snapshot.trouble else "class:toolbar"
    status = fit(status_row(snapshot, width), width)
    return [*_help_row(line, cursor, width), ("", "\n"), (style, status)]


def _help_row(line: str, cursor: int, width: int) -> StyleAndTextTuples:
    name, text = help_at(line, cursor) if line.strip() else ("", TIP)
    name = cut(f" {name}" if name else "", width)
    return [("class:help.name", name), ("", cut(f" {text}", width - width_of(name)))]


def status_row(snapshot: Snapshot, width: int) -> str:
    """Return the workers and counts, and what there is room for of the store's address."""
    if not snapshot.is_known:
        return f" {cut_start(snapshot.address, width - 13)}{_BETWEEN}looking"
    if snapshot.trouble:
        return f" store away: {snapshot.trouble}"
    parts = [_workers(len(snapshot.workers))]
    counted = [(state, snapshot.counts.of(state)) for state in _SHOWN]
    parts += [f"{number:,} {state}" for state, number in counted if number] or ["no jobs"]
    if snapshot.paused:
        parts.append(f"paused: {', '.join(snapshot.paused[:_MOST_PAUSED])}{_more(snapshot)}")
    facts = f" {_BETWEEN.join(parts)} "
    room = width - width_of(facts) - len(_BETWEEN)
    if room < len("…/queue.db"):
        return facts
    return f" {cut_start(snapshot.address, room)}{_BETWEEN}{facts.strip()} "


def _more(snapshot: Snapshot) -> str:
    rest = len(snapshot.paused) - _MOST_PAUSED
    return f" and {rest} more" if rest > 0 else ""


def _workers(number: int) -> str:
    return "no worker" if not number else f"{number:,} worker{'s' * (number > 1)}"
