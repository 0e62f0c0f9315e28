"""Draw the pictures of the README: `python -m docs.screens` writes `docs/screens/*.svg`.

It runs the real programs on a terminal of its own, below /tmp/queuectl-demo, which it makes and
removes, and draws what they leave on the screen. Process ids, milliseconds and the time of
day are replaced, so that a new drawing differs from the last in what has changed in the programs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

from tests.terminal import Shell, Terminal

ROOT = Path(__file__).parents[1]
TARGET = Path(__file__).parent / "screens"
DEMO = Path("/tmp/queuectl-demo")
COLUMNS, ROWS = 80, 24
FIRST_PID = "4711386"
"""The process ids of the pictures begin so; they differ as those of a machine do."""

LONG = ("train-model", "import-users", "crawl")
"""Jobs of the demonstration that still run when the picture is taken."""

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, MARGIN, BAR = 8.43, 18, 14, 12, 28
INK, PAPER = "#d7dae0", "#16181d"
COLORS = {
    "black": "#3b4048", "red": "#ef6b73", "green": "#8fc379", "brown": "#e0b566",
    "blue": "#61a8ee", "magenta": "#c67add", "cyan": "#56b6c2", "white": "#d7dae0",
    "brightblack": "#7f8794", "brightred": "#ff8b92", "brightgreen": "#a8dc92",
    "brightbrown": "#f2cc7f", "brightyellow": "#f2cc7f", "brightblue": "#82bfff",
    "brightmagenta": "#dc98ef", "brightcyan": "#74d0dc", "brightwhite": "#ffffff",
}  # fmt: skip


def main() -> None:
    """Draw every screen."""
    TARGET.mkdir(exist_ok=True)
    for name, scene in (("shell", shell), ("watch", watch)):
        with demo():
            screen = scene()
        (TARGET / f"{name}.svg").write_text(drawn(screen, f"queuectl {name}"), encoding="utf-8")
        sys.stdout.write(f"docs/screens/{name}.svg\n")


@contextmanager
def demo() -> Iterator[None]:
    """Make the home of the demonstration; stop its workers and remove it afterwards."""
    DEMO.mkdir()  # a directory that is there already is somebody else's
    try:
        yield
    finally:
        run("worker", "stop", "--now")
        shutil.rmtree(DEMO)


def environment() -> dict[str, str]:
    """Return the environment of the demonstration, without anything of the user's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    home = {"HOME": str(DEMO), "QUEUECTL_HOME": str(DEMO / ".queuectl")}
    return {"LANG": "C.UTF-8", **kept, **home, "PYTHONPATH": str(ROOT), "TZ": "UTC"}


def run(*args: str) -> None:
    """Run a command line that must succeed."""
    command = [sys.executable, "-m", "queuectl", *args]
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL, cwd=DEMO)


def shell() -> pyte.Screen:
    """A first session at the prompt, up to the completion of a job's id."""
    with Shell([], environment(), COLUMNS, ROWS) as terminal:
        for line, answer in (
            ("clear", "queuectl >"),
            ("worker start --count 2", "Started 2 worker(s)"),
            ('enqueue hello "echo Hello World"', "Enqueued job 'hello'"),
            ('enqueue flaky "exit 3" --max-retries 2 --backoff-base 0', "Enqueued job 'flaky'"),
            ('enqueue report "./report.sh" --in 2h', "Enqueued job 'report'"),
            ("wait hello flaky", "'flaky' dead"),
            ("list", "scheduled for"),
        ):
            terminal.enter(line)
            terminal.shows(answer)
        terminal.frees()
        terminal.press("retry ")
        terminal.shows("queuectl > retry")
        terminal.press("tab")
        terminal.settles()
        return terminal.screen


def watch() -> pyte.Screen:
    """A queue at work: jobs done, dead, running, waiting for their retry and for their time."""
    run("enqueue", "deploy-docs", "rsync -a site/ web1:/srv/docs", "--max-retries", "1")
    run("enqueue", "thumbnails", "sleep 0.2; exit 3", "--backoff-base", "90")
    for name in LONG:
        (DEMO / f"{name}.sh").write_text("#!/bin/sh\necho started\nexec sleep 600\n")
        (DEMO / f"{name}.sh").chmod(0o755)
    run("enqueue", "nightly-backup", "./backup.sh --full", "--at", "tomorrow 02:30")
    run("worker", "start", "--count", "4")
    with Terminal(["watch"], environment(), COLUMNS, ROWS) as terminal:
        terminal.shows("Dead letter queue 1", "failed 1")
        for number in range(1, 9):
            run("enqueue", f"encode-{number:02}", f"sleep 0.{number}; echo episode {number} 🎬")
            terminal.shows(f"completed {number}")
        for name in LONG:
            run("enqueue", name, f"./{name}.sh")
        terminal.shows("3 busy", "completed 8", "processing 3")
        terminal.settles()
        return terminal.screen


def drawn(screen: pyte.Screen, title: str) -> str:
    """Return a screen as SVG: a window with a title bar, and every cell in its place."""
    width = screen.columns * CELL_WIDTH + 2 * MARGIN
    height = screen.lines * CELL_HEIGHT + 2 * MARGIN + BAR
    dots = "".join(
        f'<circle cx="{18 + 18 * at}" cy="14" r="5.5" fill="{color}"/>'
        for at, color in enumerate(("#ef6b73", "#e0b566", "#8fc379"))
    )
    pids: dict[str, str] = {}
    rows = "\n".join(row(screen, y, pids) for y in range(screen.lines))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"\
 width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(title)}">
<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>
{dots}
<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"\
 font-size="{FONT_SIZE}" xml:space="preserve">
<text x="{width / 2:.0f}" y="19" text-anchor="middle" fill="#7f8794">{escape(title)}</text>
{rows}
</g>
</svg>
"""


Cell = tuple[int, str, str, str, bool]
"""Column, character, ink, paper, and whether it is bold."""


def row(screen: pyte.Screen, y: int, pids: dict[str, str]) -> str:
    """Return one line: first the papers, then the words."""
    top = BAR + MARGIN + y * CELL_HEIGHT
    line = "".join(screen.buffer[y][x].data or "\0" for x in range(screen.columns))
    text = replaced(line, pids)
    cells = [cell(screen.buffer[y][x], x, text[x]) for x in range(screen.columns)]
    parts = []
    for paper, group in groupby(cells, key=lambda each: each[3]):
        found = list(group)
        if paper != PAPER:
            parts.append(
                f'<rect x="{left(found[0])}" y="{top}" height="{CELL_HEIGHT}"'
                f' width="{len(found) * CELL_WIDTH:.1f}" fill="{paper}"/>'
            )
    for (ink, bold, is_blank), group in groupby(cells, key=lambda each: _look(each)):
        found = list(group)
        if is_blank:
            continue
        weight = ' font-weight="bold"' if bold else ""
        parts.append(
            f'<text x="{left(found[0])}" y="{top + 13.5}" fill="{ink}"{weight}'
            f' textLength="{len(found) * CELL_WIDTH:.1f}">{escape(word(found))}</text>'
        )
    return "".join(parts)


def _look(each: Cell) -> tuple[str, bool, bool]:
    """What must be the same for cells to be drawn as one piece of text."""
    return each[2], each[4], each[1] == " "


def left(each: Cell) -> str:
    """Return where a cell begins."""
    return f"{MARGIN + each[0] * CELL_WIDTH:.1f}"


def word(cells: list[Cell]) -> str:
    """Return the characters of cells; the second half of a wide one has none."""
    return "".join(each[1] for each in cells).replace("\0", "")


def cell(char: pyte.screens.Char, x: int, text: str) -> Cell:
    """Return how a cell is drawn."""
    ink, paper = color(char.fg, INK), color(char.bg, PAPER)
    if char.reverse:
        ink, paper = paper, ink
    return x, text, ink, paper, char.bold


def color(name: str, default: str) -> str:
    """Return a colour of the palette, or the one that is written out."""
    if name == "default":
        return default
    return COLORS.get(name, f"#{name}")


def replaced(text: str, pids: dict[str, str]) -> str:
    """Return a line with another time of day and other process ids, as long as they were."""

    def stand_in(found: re.Match[str]) -> str:
        pid, number = found.group(), len(pids)
        first = int(FIRST_PID[: len(pid)])
        return pids.setdefault(pid, str(first + number * (number + 1) // 2))

    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "14:30:00", text)
    text = re.sub(r"\b\d\d?(?= ms\b)", lambda found: "14"[: len(found.group())], text)
    if text.startswith("Started"):
        return re.sub(r"\d{3,}", stand_in, text)
    return re.sub(r"(?<=^ )\d{3,}(?=  (idle|busy))", stand_in, text)


if __name__ == "__main__":
    main()
