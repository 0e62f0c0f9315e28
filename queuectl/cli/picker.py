"""Picking a job on a terminal: type to narrow the list down, with the end of its log beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    VSplit,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.job_fields import command_text
from queuectl.domain.text import printable
from queuectl.presentation.layout import fit, width
from queuectl.presentation.run_log import LogWanted, read_log
from queuectl.queue import Queue

_ROWS = 10
_LEAST_WIDTH = 60
"""On a narrower terminal there is no log beside the list."""

_LOOK_SECONDS = 0.5
_LEAST_SEARCHED = 2
"""So many letters are looked for in the store: fewer are in most jobs."""

_KEYS = "Type to search, up and down to move, Enter takes it, Esc leaves"
_STYLE = Style.from_dict(
    {
        "picker.current": "reverse",
        "picker.question": "bold",
        "picker.help": "ansibrightblack",
    }
)


Search = Callable[[str], list[Job]]
"""Finds jobs that have some words in them, among many more than are offered at first."""


def pick(
    queue: Queue, question: str, jobs: list[Job], *, colors: bool, search: Search | None = None
) -> str | None:
    """Return the id of the job that a person picks on the terminal; None for none of them.

    `search` is for what is typed, where `jobs` are not all there are.
    It is drawn on standard error, and leaves nothing there. Raises KeyboardInterrupt for Ctrl-C.
    """
    return _Picker(queue, question, jobs, search).run(colors=colors)


class _Picker:
    """The jobs, what is typed, and which of those that fit is chosen."""

    def __init__(self, queue: Queue, question: str, jobs: list[Job], search: Search | None) -> None:
        self._queue = queue
        self._search = search
        self._lines = {job.id: _line(job) for job in jobs}
        self._widest = max(width(job.id) for job in jobs)
        self._at = 0
        self._first = 0
        self._typed = Buffer(on_text_changed=lambda _: self._begin_anew(), multiline=False)
        self._question = question

    def run(self, *, colors: bool) -> str | None:
        """Show it until a job is taken or none is."""
        app: Application[str | None] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            style=_STYLE,
            erase_when_done=True,
            refresh_interval=_LOOK_SECONDS,
            output=create_output(sys.stderr),
            color_depth=None if colors else ColorDepth.DEPTH_1_BIT,
        )
        app.ttimeoutlen = 0.05  # Esc leaves at once
        return app.run()

    @property
    def _rows(self) -> int:
        """How many rows the list has: less on a low terminal."""
        return max(1, min(_ROWS, os.get_terminal_size(sys.stderr.fileno()).lines - 3))

    def _fitting(self) -> list[str]:
        """Return the jobs with all that is typed, first those whose ids are or begin with it."""
        typed = self._typed.text.strip().lower()
        fitting = [
            job_id
            for job_id, line in self._lines.items()
            if all(word in f"{job_id} {line}".lower() for word in typed.split())
        ]
        return sorted(fitting, key=lambda job_id: _distance(job_id.lower(), typed))

    def _begin_anew(self) -> None:
        self._at = self._first = 0
        typed = self._typed.text.strip()
        if self._search and len(typed) >= _LEAST_SEARCHED:
            for job in self._search(typed):
                self._lines.setdefault(job.id, _line(job))
                self._widest = max(self._widest, width(job.id))

    def _move(self, rows: int) -> None:
        self._at = max(0, min(self._at + rows, len(self._fitting()) - 1))
        self._first = max(self._at - self._rows + 1, min(self._first, self._at))

    def _layout(self) -> Layout:
        mark = BeforeInput(lambda: [("class:picker.question", f"{self._question} ")])
        typed = Window(BufferControl(self._typed, input_processors=[mark]), height=1)
        half = Dimension(preferred=1)  # both the same, whatever is in them
        rows = Window(FormattedTextControl(self._list), wrap_lines=False, width=half)
        log = Window(FormattedTextControl(self._log), wrap_lines=False, width=half)
        is_wide = Condition(
            lambda: os.get_terminal_size(sys.stderr.fileno()).columns >= _LEAST_WIDTH
        )
        beside = VSplit([Window(char="│", width=1), log])
        both = VSplit([rows, ConditionalContainer(beside, is_wide)], height=lambda: self._rows)
        keys = Window(FormattedTextControl([("class:picker.help", _KEYS)]), height=1)
        return Layout(HSplit([typed, both, keys]), focused_element=typed)

    def _list(self) -> StyleAndTextTuples:
        fitting = self._fitting()
        if not fitting:
            return [("class:picker.help", "no job has that in it")]
        rows: StyleAndTextTuples = []
        for at, job_id in enumerate(fitting[self._first : self._first + self._rows], self._first):
            mark = "> " if at == self._at else "  "
            style = "class:picker.current" if at == self._at else ""
            rows.append((style, f"{mark}{fit(job_id, self._widest)}  {self._lines[job_id]}\n"))
        return rows

    def _log(self) -> StyleAndTextTuples:
        fitting = self._fitting()
        if not fitting:
            return []
        try:
            log = read_log(self._queue, LogWanted(fitting[self._at]))
        except (QueuectlError, OSError) as fault:
            return [("class:picker.help", printable(str(fault)))]
        if log.notice or not log.lines:
            return [("class:picker.help", log.notice or "it has written nothing")]
        return [("", "\n".join(log.lines[-self._rows :]))]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _take(event: KeyPressEvent) -> None:
            if fitting := self._fitting():
                event.app.exit(result=fitting[self._at])

        @keys.add("escape", eager=True)
        @keys.add("c-d")
        def _leave(event: KeyPressEvent) -> None:
            event.app.exit(result=None)

        @keys.add("c-c")
        def _interrupt(event: KeyPressEvent) -> None:
            event.app.exit(exception=KeyboardInterrupt)

        for names, rows in ((("up", "c-p"), -1), (("down", "c-n", "tab"), 1),
                            (("pageup",), -_ROWS), (("pagedown",), _ROWS)):  # fmt: skip
            for name in names:
                keys.add(name)(lambda _event, rows=rows: self._move(rows))
        return keys


def _distance(job_id: str, typed: str) -> int:
    """Return how far an id is from what was typed: 0 for itself."""
    if job_id == typed:
        return 0
    return 1 if job_id.startswith(typed) else 2 if typed in job_id else 3


def _line(job: Job) -> str:
    return f"{job.state!s:<10}  {printable(command_text(job.spec.command))}"
