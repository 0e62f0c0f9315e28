"""The application: keys to moves and actions, and the screen drawn after each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec

from prompt_toolkit import Application
from prompt_toolkit.filters import Condition, Filter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from queuectl.domain.errors import InvalidInput, StoreError
from queuectl.domain.frozen import replace
from queuectl.domain.job import State
from queuectl.domain.queue_limits import OPEN
from queuectl.presentation.follower import Follower
from queuectl.presentation.run_log import LogWanted
from queuectl.presentation.snapshot import Wanted
from queuectl.queue import Queue
from queuectl.queue.audit import person
from queuectl.system.home import Location
from queuectl.watch.screen import STYLES, draw, log_lines, log_room
from queuectl.watch.view import (
    Mode,
    Question,
    View,
    chosen_job,
    moved,
    parse_filter,
    position,
    scrolled,
    turned,
)

_P = ParamSpec("_P")

_ESCAPE_SECONDS = 0.05
_REDRAW_SECONDS = 1.0
"""So that a store which does not answer is seen not to."""
_STEP, _MOST = 200, 2000
"""How many more jobs are read when the cursor nears the last, and how many at most."""
_FAR = 10**9


class Watch:
    """One run of `queuectl watch`."""

    def __init__(
        self, location: Location, address: str, typed: str = "", *, colors: bool = True
    ) -> None:
        wanted = Wanted(parse_filter(typed), with_reasons=True)
        self._view = View(typed=typed)
        self._messages: deque[str] = deque()
        self._app: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._text), always_hide_cursor=True)),
            key_bindings=self._bindings(),
            style=Style.from_dict(STYLES),
            full_screen=True,
            refresh_interval=_REDRAW_SECONDS,
            color_depth=None if colors else ColorDepth.DEPTH_1_BIT,
        )
        self._app.ttimeoutlen = _ESCAPE_SECONDS
        self._follower = Follower(location, wanted, self._app.invalidate, address=address)
        self._seen = self._follower.snapshot

    def run(self) -> None:
        """Show the screen until the user leaves."""
        self._follower.start()
        try:
            self._app.run()
        finally:
            self._follower.end()

    def _text(self) -> StyleAndTextTuples:
        """Draw what has been seen last; keys act on the very rows that are drawn here."""
        self._seen = self._follower.snapshot
        while self._messages:
            self._view = replace(self._view, message=self._messages.popleft())
        size = self._app.output.get_size()
        text: StyleAndTextTuples = []
        lines = draw(self._seen, self._view, size.columns, size.rows, self._follower.silence())
        for number, line in enumerate(lines):
            if number:
                text.append(("", "\n"))
            text += line
        return text

    # keys

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        in_lists, in_log, typing, asking, in_help = (
            Condition(partial(self._is_in, mode))
            for mode in (Mode.LISTS, Mode.LOG, Mode.FILTER, Mode.ASKING, Mode.HELP)
        )

        def bind(
            where: Filter, names: str, act: Callable[_P, None], *args: _P.args, **named: _P.kwargs
        ) -> None:
            def handle(_event: KeyPressEvent) -> None:
                self._view = replace(self._view, message="")
                act(*args, **named)

            for name in names.split():
                keys.add(name, filter=where)(handle)

        looking = in_lists | in_log
        bind(looking, "down j", self._go, 1)
        bind(looking, "up k", self._go, -1)
        bind(looking, "pagedown c-f space", self._go, pages=1)
        bind(looking, "pageup c-b", self._go, pages=-1)
        bind(looking, "home g", self._go, -_FAR)
        bind(looking, "end G", self._go, _FAR)
        bind(looking, "c", self._ask, "cancel")
        bind(looking, "d delete", self._ask, "delete")
        bind(looking, "r", self._do, "retry")
        bind(looking, "p", self._do, "pause")
        bind(looking, "P", self._do, "pause queue")
        bind(looking, "?", self._enter, Mode.HELP)
        bind(in_lists, "tab", self._turn, 1)
        bind(in_lists, "s-tab", self._turn, -1)
        bind(in_lists, "enter l right", self._open_log)
        bind(in_lists, "/", self._enter, Mode.FILTER)
        bind(in_lists, "escape", self._filter, "")
        bind(in_lists, "q", self._app_exit)
        bind(in_log, "tab s-tab", self._other_stream)
        bind(in_log, "[", self._other_run, -1)
        bind(in_log, "]", self._other_run, 1)
        bind(in_log, "q escape h left", self._close_log)
        bind(asking, "y Y enter", self._confirm)
        bind(asking | in_help, "<any>", self._back)
        bind(typing, "enter", self._end_filter)
        bind(typing, "escape", self._filter, "", then=Mode.LISTS)
        bind(typing, "backspace", self._delete_last)
        bind(typing, "c-u", self._filter, "")
        keys.add(Keys.Any, filter=typing)(self._type)
        keys.add("c-c")(lambda _event: self._app_exit())
        return keys

    def _is_in(self, mode: Mode) -> bool:
        return self._view.mode is mode

    def _app_exit(self) -> None:
        self._app.exit()

    # moving

    def _go(self, rows: int = 0, *, pages: int = 0) -> None:
        """Move in the lists, or in the log where one is open."""
        size = self._app.output.get_size()
        rows += pages * max(1, size.rows // 2)
        if self._view.log:
            if self._seen.log:
                total = len(log_lines(self._seen.log, size.columns))
                self._view = scrolled(self._view, rows, total, log_room(size.rows))
            return
        self._view = moved(self._view, self._seen, rows)
        depth = self._follower.wanted.depth
        if position(self._view, self._seen, self._view.pane) + _STEP // 2 > depth < _MOST:
            self._want(replace(self._follower.wanted, depth=depth + _STEP))

    def _turn(self, step: int) -> None:
        self._view = turned(self._view, step)

    def _enter(self, mode: Mode) -> None:
        self._view = replace(self._view, mode=mode)

    def _back(self) -> None:
        mode = Mode.LOG if self._view.log else Mode.LISTS
        self._view = replace(self._view, mode=mode, question=None)

    def _want(self, wanted: Wanted) -> None:
        self._follower.wanted = wanted
        self._follower.wake()

    # the filter

    def _type(self, event: KeyPressEvent) -> None:
        if event.data.isprintable():
            self._filter(self._view.typed + event.data)

    def _delete_last(self) -> None:
        self._filter(self._view.typed[:-1])

    def _filter(self, typed: str, then: Mode | None = None) -> None:
        """Look for what is typed as it is typed; what makes no sense yet changes nothing."""
        self._view = replace(self._view, typed=typed, mode=then or self._view.mode)
        try:
            chosen = parse_filter(typed)
        except InvalidInput:
            return
        self._want(Wanted(chosen, with_reasons=True))

    def _end_filter(self) -> None:
        self._view = replace(self._view, mode=Mode.LISTS, typed=self._view.typed.strip())

    # the log

    def _open_log(self) -> None:
        if job_id := self._job():
            self._view = replace(self._view, mode=Mode.LOG)
            self._look_at(LogWanted(job_id))

    def _close_log(self) -> None:
        self._view = replace(self._view, mode=Mode.LISTS)
        self._look_at(None)

    def _look_at(self, log: LogWanted | None) -> None:
        self._view = replace(self._view, log=log, top=None)
        self._want(replace(self._follower.wanted, log=log))

    def _other_stream(self) -> None:
        if self._view.log and self._seen.log:
            streams, now = self._seen.log.streams, self._seen.log.stream
            at = streams.index(now) if now in streams else 0
            self._look_at(replace(self._view.log, stream=streams[at - 1]))

    def _other_run(self, step: int) -> None:
        text = self._seen.log
        if self._view.log and text and text.job and text.run:
            run = max(1, min(text.run + step, text.job.runs))
            self._look_at(replace(self._view.log, run=run if run < text.job.runs else None))

    # actions

    def _job(self) -> str | None:
        """Return the job that keys act on."""
        return self._view.log.job_id if self._view.log else chosen_job(self._view, self._seen)

    def _ask(self, verb: str) -> None:
        if job_id := self._job():
            question = Question(verb, job_id)
            self._view = replace(self._view, mode=Mode.ASKING, question=question)

    def _confirm(self) -> None:
        if question := self._view.question:
            self._back()
            self._do(question.verb, question.job_id)

    def _do(self, verb: str, job_id: str = "") -> None:
        """Do something to a job, or to the chosen one; what became of it is shown afterwards."""
        job_id = job_id or self._job() or ""
        if job_id:
            act = _ACTIONS[verb]
            self._follower.ask(lambda queue: _act(queue, act, job_id)).add_done_callback(self._note)
            self._follower.wake()

    def _note(self, future: Future[str]) -> None:
        """Note what became of an action, in the thread that did it; trouble is shown anyway."""
        fault = None if future.cancelled() else future.exception()
        if not future.cancelled() and not isinstance(fault, StoreError):
            self._messages.append(str(fault) if fault else future.result())
            self._app.invalidate()


def _act(queue: Queue, act: Callable[[Queue, str], str], job_id: str) -> str:
    """Do something to a job, and have the audit trail know who did."""
    queue.actor = person
    try:
        return act(queue, job_id)
    finally:
        queue.flush_notes()


def _cancel(queue: Queue, job_id: str) -> str:
    is_done = queue.cancel(job_id).state is State.CANCELLED
    return f"Cancelled job '{job_id}'" if is_done else f"Stopping job '{job_id}'"


def _retry(queue: Queue, job_id: str) -> str:
    return f"Retried job '{queue.retry(job_id).id}'"


def _pause(queue: Queue, job_id: str) -> str:
    """Pause a job, or let it go on where it is paused."""
    if queue.get(job_id).paused:
        queue.resume(job_id)
        return f"Resumed job '{job_id}'"
    queue.pause(job_id)
    return f"Paused job '{job_id}'"


def _pause_queue(queue: Queue, job_id: str) -> str:
    """Pause the queue that a job is in, or open it where it is paused."""
    name = queue.get(job_id).spec.queue
    if queue.queue_limits().get(name, OPEN).paused:
        queue.resume_queue(name)
        return f"Resumed queue '{name}'"
    queue.pause_queue(name)
    return f"Paused queue '{name}'"


def _delete(queue: Queue, job_id: str) -> str:
    queue.delete(job_id)
    return f"Deleted job '{job_id}'"


_ACTIONS: dict[str, Callable[[Queue, str], str]] = {
    "cancel": _cancel,
    "retry": _retry,
    "pause": _pause,
    "pause queue": _pause_queue,
    "delete": _delete,
}
"""What each verb does to a job, or to the queue that it is in; returns what became of it."""
