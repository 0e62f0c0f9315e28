"""The prompt on a terminal, with help and the state of the store in two rows below it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, in_terminal
from prompt_toolkit.application.current import set_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, completion_is_selected, has_focus
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts import print_formatted_text

from queuectl.cli.session import Session
from queuectl.domain.errors import ExitCode
from queuectl.domain.frozen import replace
from queuectl.domain.job import State
from queuectl.presentation.follower import Follower, from_home
from queuectl.presentation.layout import cut, cut_start, fit
from queuectl.presentation.layout import width as width_of
from queuectl.presentation.snapshot import Snapshot
from queuectl.queue import Queue
from queuectl.shell.completer import LineCompleter, complete, knowing
from queuectl.shell.followed_jobs import FollowedJobs, Notice
from queuectl.shell.grammar import help_at, warm_up
from queuectl.shell.highlight import COLOURLESS_STYLE, STYLE, LineLexer
from queuectl.shell.history import PrivateHistory
from queuectl.shell.messages import as_at_prompt, wrapped
from queuectl.shell.script import Leave, joined, run_line
from queuectl.shell.startup import PROMPT, begin_row
from queuectl.shell.tokenizer import is_continued, lines_of

_CONTINUED = "         > "
_WRITTEN_OUT = "fg:ansidefault"
"""A style that looks like none. Without a style the final blank of the prompt is a move of the
cursor, where programs that drive the shell (expect and the like) look for a blank."""

_MENU_ROWS, _MENU_SHARE = 8, 5
"""So many rows are kept free for the menu of completions, or that share of a low terminal."""

_WARM_UP_SECONDS = 0.1
_KEPT = (
    (frozenset({State.PROCESSING}), 200),
    (frozenset[State](), 1000),
    (frozenset({State.DEAD}), 300),
)
"""Which jobs are kept for completion, and at most how many, in the order of the menu."""

_TIP = "Tab completes, help lists the commands, Ctrl-D leaves"
_BETWEEN = " | "
_MOST_PAUSED = 2
_ANY_WIDTH = 1000
_COUNTED = (
    State.PENDING,
    State.PROCESSING,
    State.FAILED,
    State.DEAD,
    State.COMPLETED,
    State.CANCELLED,
)


class Prompt:
    """Reads lines, with the state of the store below them and notices of jobs above.

    `on_first` is called when it takes over the terminal.
    """

    def __init__(
        self,
        session: Session,
        follower: Follower,
        followed: FollowedJobs,
        on_first: Callable[[], None],
    ) -> None:
        self._session = session
        self._follower = follower
        self._followed = followed
        self._is_warm = False
        self._knows_jobs = False
        self._status = ""
        self._history = PrivateHistory(session.location().home)
        self._prompt: PromptSession[str] = PromptSession(
            input=_input(on_first),
            history=self._history,
            completer=LineCompleter(knowing(session, follower).fork, self._has_jobs),
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            lexer=LineLexer(),
            style=STYLE if session.colors else COLOURLESS_STYLE,
            include_default_pygments_style=False,
            bottom_toolbar=self._toolbar,
            multiline=True,
            prompt_continuation=_continuation,
            key_bindings=_bindings(LineCompleter(knowing(session, follower, may_ask=False).fork)),
            color_depth=None if session.colors else ColorDepth.DEPTH_1_BIT,
        )

    def run(self) -> int:
        """Read and run lines until the person leaves; return 0, whatever came of the commands."""
        self._follower.on_look = self._on_look
        while True:
            try:
                self._run_lines(self._read())
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return ExitCode.OK

    def _read(self) -> str:
        self._show(self._followed.take_notices())
        rows = self._prompt.app.output.get_size().rows
        self._prompt.reserve_space_for_menu = min(_MENU_ROWS, rows // _MENU_SHARE)
        return self._prompt.prompt([(_WRITTEN_OUT, PROMPT)], pre_run=self._begin)

    def _run_lines(self, text: str) -> None:
        """Run what was typed; of several lines, which come by pasting, until one fails."""
        for _, line in joined(lines_of(text)):
            with as_at_prompt():
                code = run_line(line, self._session)
            self._history.save()
            self._follower.wake()
            if code:
                return

    def _begin(self) -> None:
        """Catch up, now that the prompt is there, with what came while it was not."""
        self._post(self._show_notices)
        if not self._is_warm:
            self._is_warm = True
            timer = threading.Timer(_WARM_UP_SECONDS, self._warm_up)
            timer.daemon = True
            timer.start()

    def _warm_up(self) -> None:
        """Read the jobs, and load the commands before they are typed."""
        self._follower.wanted = replace(self._follower.wanted, groups=_KEPT)
        self._follower.wake()
        warm_up()

    # in the thread that looks

    def _on_look(self) -> None:
        """Draw the row at the bottom anew if it differs, and look after the jobs of this shell."""
        snapshot = self._follower.snapshot
        if (status := status_row(snapshot, _ANY_WIDTH)) != self._status:
            self._status = status
            self._prompt.app.invalidate()
        if self._has_jobs() and not self._knows_jobs:
            self._knows_jobs = True
            self._post(self._complete_anew)
        if len(self._followed) and not snapshot.trouble:
            self._follower.ask(self._look_at_followed)

    def _look_at_followed(self, queue: Queue) -> None:
        if self._followed.look(queue):
            self._post(self._show_notices)

    def _post(self, act: Callable[[], None]) -> None:
        """Have something done at the prompt if it is there; may be called from any thread."""
        app = self._prompt.app

        def begin() -> None:
            if app.is_running:
                with set_app(app):
                    act()

        if app.loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just been closed
                app.loop.call_soon_threadsafe(begin)

    # at the prompt

    def _has_jobs(self) -> bool:
        return bool(self._follower.snapshot.jobs)

    def _complete_anew(self) -> None:
        """Offer the jobs to a word that was typed before they were known."""
        buffer = self._prompt.default_buffer
        if buffer.text and buffer.complete_state is None:
            buffer.start_completion(complete_event=CompleteEvent(text_inserted=True))

    def _show_notices(self) -> None:
        """Show notices above the prompt; while it is not there they wait for the next one."""

        async def show() -> None:
            if notices := self._followed.take_notices():
                async with in_terminal():
                    self._show(notices)

        self._prompt.app.create_background_task(show())

    def _show(self, notices: list[Notice]) -> None:
        for state, line in notices:
            print_formatted_text(
                FormattedText([(f"class:state.{state}", wrapped(line))]), style=STYLE,
                color_depth=self._prompt.color_depth, include_default_pygments_style=False,
            )  # fmt: skip

    def _toolbar(self) -> StyleAndTextTuples:
        """Return help on what is being typed, and below it how the store stands."""
        snapshot, width = self._follower.snapshot, self._prompt.app.output.get_size().columns
        document = self._prompt.default_buffer.document
        style = "class:toolbar.trouble" if snapshot.trouble else "class:toolbar"
        return [
            *_help_row(document.text, document.cursor_position, width),
            ("", "\n"),
            (style, fit(status_row(snapshot, width), width)),
        ]


def _bindings(quick: Completer) -> KeyBindings:
    """Return the keys that work otherwise here than at other prompts.

    `quick` completes at once; whatever is typed after Tab comes after it.
    """
    keys = KeyBindings()
    at_prompt = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=at_prompt & completion_is_selected)
    def _take_completion(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("enter", filter=at_prompt & ~completion_is_selected & ~Condition(_goes_on))
    def _accept(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("tab", filter=at_prompt & ~completion_is_selected)
    def _complete(event: KeyPressEvent) -> None:
        complete(event.current_buffer, quick)

    return keys


def _goes_on() -> bool:
    """Whether a final backslash before the cursor asks for another row."""
    document = get_app().current_buffer.document
    return document.is_cursor_at_the_end and is_continued(document.text)


def _input(on_first: Callable[[], None]) -> Input | None:
    """Return a keyboard that calls `on_first` right before it is first read, None where none can.

    Whenever it is read again, the prompt begins in an empty row.
    """
    if sys.platform == "win32":
        return None
    from prompt_toolkit.input.vt100 import Vt100Input

    class Keyboard(Vt100Input):
        is_new = True

        @contextlib.contextmanager
        def raw_mode(self) -> Iterator[None]:
            if self.is_new:
                on_first()
            with super().raw_mode():
                if not self.is_new:
                    begin_row(self.fileno())
                self.is_new = False
                yield

    return Keyboard(sys.stdin)


def _continuation(width: int, _row: int, wraps: int) -> StyleAndTextTuples:
    """Return what stands before a further row: a mark only where the person began it."""
    return [(_WRITTEN_OUT, " " * width if wraps else _CONTINUED)]


def _help_row(line: str, cursor: int, width: int) -> StyleAndTextTuples:
    name, text = help_at(line, cursor) if line.strip() else ("", _TIP)
    name = cut(f" {name}" if name else "", width)
    return [("class:help.name", name), ("", cut(f" {text}", width - width_of(name)))]


def status_row(snapshot: Snapshot, width: int) -> str:
    """Return the workers and counts, and what there is room for of the store's address."""
    if snapshot.trouble:
        return f" store away: {snapshot.trouble}"
    address = from_home(snapshot.address)
    if not snapshot.is_known:
        return f" {cut_start(address, width - 13)}{_BETWEEN}looking"
    workers = len(snapshot.workers)
    parts = [f"{workers:,} worker{'s' * (workers > 1)}" if workers else "no worker"]
    counted = [(state, snapshot.counts.of(state)) for state in _COUNTED]
    parts += [f"{number:,} {state}" for state, number in counted if number] or ["no jobs"]
    if paused := snapshot.paused:
        rest = len(paused) - _MOST_PAUSED
        more = f" and {rest} more" if rest > 0 else ""
        parts.append(f"paused: {', '.join(paused[:_MOST_PAUSED])}{more}")
    facts = f" {_BETWEEN.join(parts)} "
    room = width - width_of(facts) - len(_BETWEEN)
    if room < len("…/queue.db"):
        return facts
    return f" {cut_start(address, room)}{_BETWEEN}{facts.strip()} "
