"""The prompt on a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from prompt_toolkit import PromptSession
from prompt_toolkit.application import in_terminal
from prompt_toolkit.application.current import set_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts import print_formatted_text

from queuectl.cli.session import Session
from queuectl.domain.errors import ExitCode
from queuectl.shell.catalog import knowing
from queuectl.shell.commands import Leave, run_line
from queuectl.shell.completer import LineCompleter
from queuectl.shell.followed_jobs import Followed, Notice
from queuectl.shell.grammar import warm_up
from queuectl.shell.highlight import COLOURLESS_STYLE, STYLE, LineLexer
from queuectl.shell.history import PrivateHistory
from queuectl.shell.keys import bindings
from queuectl.shell.script import joined
from queuectl.shell.snapshot import Live
from queuectl.shell.startup import PROMPT
from queuectl.shell.toolbar import toolbar

_CONTINUED = "         > "
_WRITTEN_OUT = "fg:ansidefault"
"""A style that looks like none. Without a style the final blank of the prompt is a move of the
cursor, where programs that drive the shell (expect and the like) look for a blank."""

_MENU_ROWS, _MENU_SHARE = 8, 5
"""So many rows are kept free for the menu of completions, or that share of a low terminal."""

_WARM_UP_SECONDS = 0.1


class Prompt:
    """Reads lines, with the state of the store below them and news of jobs above.

    `on_first` is called when it takes over the terminal.
    """

    def __init__(
        self, session: Session, live: Live, followed: Followed, on_first: Callable[[], None]
    ) -> None:
        self._session = session
        self._live = live
        self._followed = followed
        self._is_warm = False
        self._knows_jobs = False
        self._history = PrivateHistory(session.location().home)
        self._prompt: PromptSession[str] = PromptSession(
            input=_input(on_first),
            history=self._history,
            completer=LineCompleter(knowing(session, live).fork, self._has_jobs),
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            lexer=LineLexer(),
            style=STYLE if session.colors else COLOURLESS_STYLE,
            include_default_pygments_style=False,
            bottom_toolbar=self._toolbar,
            multiline=True,
            prompt_continuation=_continuation,
            key_bindings=bindings(LineCompleter(knowing(session, live, may_ask=False).fork)),
            color_depth=None if session.colors else ColorDepth.DEPTH_1_BIT,
        )
        followed.on_notice = self._wake_for_notices

    def run(self) -> int:
        """Read and run lines until the person leaves; return 0, whatever came of the commands."""
        self._live.on_change = self._redraw
        while True:
            try:
                self._run_lines(self._ask())
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return ExitCode.OK

    def _ask(self) -> str:
        self._show(self._followed.take_notices())
        rows = self._prompt.app.output.get_size().rows
        self._prompt.reserve_space_for_menu = min(_MENU_ROWS, rows // _MENU_SHARE)
        return self._prompt.prompt([(_WRITTEN_OUT, PROMPT)], pre_run=self._begin)

    def _run_lines(self, text: str) -> None:
        """Run what was typed; of several lines, which come by pasting, until one fails."""
        for _, line in joined(text.split("\n")):
            code = run_line(line, self._session)
            self._history.save()
            self._live.refresh()
            if code:
                return

    def _has_jobs(self) -> bool:
        return bool(self._live.snapshot.jobs)

    def _redraw(self) -> None:
        """Draw the rows at the bottom anew; may be called from any thread."""
        self._prompt.app.invalidate()
        if self._has_jobs() and not self._knows_jobs:
            self._knows_jobs = True
            self._complete_anew()

    def _complete_anew(self) -> None:
        """Offer the jobs to a word that was typed before they were known."""
        app, buffer = self._prompt.app, self._prompt.default_buffer

        def begin() -> None:
            if app.is_running and buffer.text and buffer.complete_state is None:
                with set_app(app):
                    buffer.start_completion(complete_event=CompleteEvent(text_inserted=True))

        if app.loop is not None:
            app.loop.call_soon_threadsafe(begin)

    def _toolbar(self) -> StyleAndTextTuples:
        document = self._prompt.default_buffer.document
        width = self._prompt.app.output.get_size().columns
        return toolbar(document.text, document.cursor_position, self._live.snapshot, width)

    def _begin(self) -> None:
        """Catch up, now that the prompt is there, with what came while it was not."""
        self._wake_for_notices()
        self._warm_up()

    def _warm_up(self) -> None:
        """Once the first prompt is there, load the commands before they are typed."""
        if not self._is_warm:
            self._is_warm = True
            timer = threading.Timer(_WARM_UP_SECONDS, warm_up)
            timer.daemon = True
            timer.start()

    def _write(self, parts: list[tuple[str, str]]) -> None:
        print_formatted_text(
            FormattedText(parts), style=STYLE, color_depth=self._prompt.color_depth,
            include_default_pygments_style=False,
        )  # fmt: skip

    def _show(self, found: list[Notice]) -> None:
        for state, line in found:
            self._write([(f"class:state.{state}", line)])

    def _wake_for_notices(self) -> None:
        """Show notices above the prompt if it is there; else they wait for the next one."""
        app = self._prompt.app
        loop = app.loop
        if loop is None or not app.is_running:
            return

        async def show() -> None:
            found = self._followed.take_notices()
            if found:
                async with in_terminal():
                    self._show(found)

        def begin() -> None:
            if app.is_running:
                app.create_background_task(show())

        loop.call_soon_threadsafe(begin)


def _input(on_first: Callable[[], None]) -> Input | None:
    """Return a keyboard that calls `on_first` right before it is read; None where none can."""
    if sys.platform == "win32":
        return None
    from prompt_toolkit.input.vt100 import Vt100Input

    class Keyboard(Vt100Input):
        def raw_mode(self) -> AbstractContextManager[None]:
            on_first()
            return super().raw_mode()

    return Keyboard(sys.stdin)


def _continuation(width: int, _row: int, wraps: int) -> StyleAndTextTuples:
    """Return what stands before a further row: a mark only where the person began it."""
    return [(_WRITTEN_OUT, " " * width if wraps else _CONTINUED)]
