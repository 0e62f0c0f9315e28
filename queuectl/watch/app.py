"""The application: keys to moves and actions, and the screen drawn after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from prompt_toolkit import Application
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from queuectl.domain.errors import InvalidInput
from queuectl.presentation.columns import STATE_STYLES
from queuectl.presentation.follower import Feed, Seen
from queuectl.presentation.run_log import LogWanted
from queuectl.presentation.snapshot import Wanted, parse_filter
from queuectl.system.home import Location
from queuectl.watch.actions import ACTIONS
from queuectl.watch.screen import draw, log_lines, log_room
from queuectl.watch.view import Mode, Question, View, chosen_job, moved, position, scrolled, turned

_STYLE = Style.from_dict(
    {
        "bar": "reverse bold",
        "title": "ansibrightblack",
        "focus": "bold ansicyan",
        "chosen": "reverse",
        "dim": "ansibrightblack",
        "key": "bold",
        "trouble": "bold ansired",
        "message": "bold ansigreen",
        "question": "bold ansiyellow",
        "busy": "ansiblue",
        "idle": "ansigreen",
        "stopping": "ansiyellow",
        **{state.value: f"ansi{color}" for state, color in STATE_STYLES.items()},
    }
)
_ESCAPE_SECONDS = 0.05
_REDRAW_SECONDS = 1.0
"""So that a store which does not answer is seen not to."""
_STEP, _MOST = 200, 2000
"""How many more jobs are read when the cursor nears the last, and how many at most."""

Move = Callable[[int], None]


class Watch:
    """One run of `queuectl watch`."""

    def __init__(self, place: Location, typed: str = "", *, colors: bool = True) -> None:
        chosen = parse_filter(typed)
        self._view = View(typed=typed)
        self._shown = Seen()
        self._app: Application[None] = Application(
            layout=Layout(Window(FormattedTextControl(self._text), always_hide_cursor=True)),
            key_bindings=self._bindings(),
            style=_STYLE,
            full_screen=True,
            refresh_interval=_REDRAW_SECONDS,
            color_depth=None if colors else ColorDepth.DEPTH_1_BIT,
        )
        self._app.ttimeoutlen = _ESCAPE_SECONDS
        self._feed = Feed(place, Wanted(chosen), self._app.invalidate)

    def run(self) -> None:
        """Show the screen until the user leaves."""
        self._feed.start()
        try:
            self._app.run()
        finally:
            self._feed.end()

    def _text(self) -> StyleAndTextTuples:
        """Draw what has been seen last; keys act on the very rows that are drawn here."""
        self._shown = self._feed.seen
        size = self._app.output.get_size()
        made: StyleAndTextTuples = []
        lines = draw(self._shown, self._view, size.columns, size.rows, self._feed.silence())
        for number, line in enumerate(lines):
            if number:
                made.append(("", "\n"))
            made += line
        return made

    # keys

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()
        in_lists = Condition(lambda: self._view.mode is Mode.LISTS)
        in_log = Condition(lambda: self._view.mode is Mode.LOG)
        typing = Condition(lambda: self._view.mode is Mode.FILTER)
        asking = Condition(lambda: self._view.mode is Mode.ASKING)
        helped = Condition(lambda: self._view.mode is Mode.HELP)

        def bind(names: str, where: Condition, act: Callable[[], None]) -> None:
            def handle(_event: KeyPressEvent) -> None:
                self._view = replace(self._view, read=self._shown.told)
                act()

            for name in names.split():
                keys.add(name, filter=where)(handle)

        self._bind_moves(bind, in_lists, self._move)
        self._bind_moves(bind, in_log, self._scroll)
        for where in (in_lists, in_log):
            bind("c", where, lambda: self._ask("cancel"))
            bind("d delete", where, lambda: self._ask("delete"))
            bind("r", where, lambda: self._do("retry", self._job()))
            bind("p", where, lambda: self._do("pause", self._job()))
            bind("P", where, lambda: self._do("pause queue", self._job()))
            bind("?", where, lambda: self._enter(Mode.HELP))
        bind("tab", in_lists, lambda: self._turn(1))
        bind("s-tab", in_lists, lambda: self._turn(-1))
        bind("enter l right", in_lists, self._open_log)
        bind("/", in_lists, lambda: self._enter(Mode.FILTER))
        bind("escape", in_lists, lambda: self._filter(""))
        bind("q", in_lists, self._app_exit)
        bind("tab s-tab", in_log, self._other_stream)
        bind("[", in_log, lambda: self._other_run(-1))
        bind("]", in_log, lambda: self._other_run(1))
        bind("q escape h left", in_log, self._close_log)
        bind("y Y enter", asking, self._confirm)
        bind("<any>", asking, self._back)
        bind("<any>", helped, self._back)
        bind("enter", typing, self._end_filter)
        bind("escape", typing, lambda: self._filter("", then=Mode.LISTS))
        bind("backspace", typing, lambda: self._filter(self._view.typed[:-1]))
        bind("c-u", typing, lambda: self._filter(""))
        keys.add(Keys.Any, filter=typing)(self._type)
        keys.add("c-c")(lambda _event: self._app_exit())
        return keys

    def _bind_moves(
        self, bind: Callable[[str, Condition, Callable[[], None]], None], where: Condition, go: Move
    ) -> None:
        far = 10**9
        bind("down j", where, lambda: go(1))
        bind("up k", where, lambda: go(-1))
        bind("pagedown c-f space", where, lambda: go(self._page()))
        bind("pageup c-b", where, lambda: go(-self._page()))
        bind("home g", where, lambda: go(-far))
        bind("end G", where, lambda: go(far))

    def _page(self) -> int:
        return max(1, self._app.output.get_size().rows // 2)

    def _app_exit(self) -> None:
        self._app.exit()

    # moving

    def _move(self, rows: int) -> None:
        if self._shown.snapshot is None:
            return
        self._view = moved(self._view, self._shown.snapshot, rows)
        wanted = self._feed.wanted
        at = position(self._view, self._shown.snapshot, self._view.pane)
        if at + _STEP // 2 > wanted.depth < _MOST:
            self._feed.wanted = replace(wanted, depth=wanted.depth + _STEP)
            self._feed.wake()

    def _scroll(self, lines: int) -> None:
        if self._shown.log is None:
            return
        size = self._app.output.get_size()
        total = len(log_lines(self._shown.log, size.columns))
        self._view = scrolled(self._view, lines, total, log_room(size.rows))

    def _turn(self, step: int) -> None:
        self._view = turned(self._view, step)

    def _enter(self, mode: Mode) -> None:
        self._view = replace(self._view, mode=mode)

    def _back(self) -> None:
        mode = Mode.LOG if self._view.log else Mode.LISTS
        self._view = replace(self._view, mode=mode, question=None)

    # the filter

    def _type(self, event: KeyPressEvent) -> None:
        if event.data.isprintable():
            self._filter(self._view.typed + event.data)

    def _filter(self, typed: str, then: Mode | None = None) -> None:
        """Look for what is typed as it is typed; what makes no sense yet changes nothing."""
        self._view = replace(self._view, typed=typed, mode=then or self._view.mode)
        try:
            chosen = parse_filter(typed)
        except InvalidInput:
            return
        self._feed.wanted = Wanted(chosen)
        self._feed.wake()

    def _end_filter(self) -> None:
        self._view = replace(self._view, mode=Mode.LISTS, typed=self._view.typed.strip())

    # the log

    def _open_log(self) -> None:
        job_id = self._job()
        if job_id is not None:
            self._view = replace(self._view, mode=Mode.LOG, top=None)
            self._look_at(LogWanted(job_id))

    def _close_log(self) -> None:
        self._view = replace(self._view, mode=Mode.LISTS)
        self._look_at(None)

    def _look_at(self, wanted: LogWanted | None) -> None:
        self._view = replace(self._view, log=wanted, top=None)
        self._feed.log_wanted = wanted
        self._feed.wake()

    def _other_stream(self) -> None:
        if self._view.log and self._shown.log:
            other = "stderr" if self._shown.log.stream == "stdout" else "stdout"
            self._look_at(replace(self._view.log, stream=other))

    def _other_run(self, step: int) -> None:
        text = self._shown.log
        if self._view.log and text and text.job and text.run:
            run = max(1, min(text.run + step, text.job.runs))
            self._look_at(replace(self._view.log, run=run if run < text.job.runs else None))

    # actions

    def _job(self) -> str | None:
        """Return the job that keys act on."""
        if self._view.log:
            return self._view.log.job_id
        snapshot = self._shown.snapshot
        return chosen_job(self._view, snapshot) if snapshot else None

    def _ask(self, verb: str) -> None:
        job_id = self._job()
        if job_id is not None:
            question = Question(verb, job_id)
            self._view = replace(self._view, mode=Mode.ASKING, question=question)

    def _confirm(self) -> None:
        question = self._view.question
        self._back()
        if question:
            self._do(question.verb, question.job_id)

    def _do(self, verb: str, job_id: str | None) -> None:
        if job_id is not None:
            self._feed.ask(ACTIONS[verb](job_id))
