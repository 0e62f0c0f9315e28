"""Write what README.md and other pages show as printed: `python -m docs.printed`, or `make docs`.

The pages hold marks of cog (`[[[cog …]]]` to `[[[end]]]`), and what stands between is made anew by
the functions below: tables from the program's own tables, and blocks of commands by running them,
as they stand there, in a home of their own. What differs each time (times, process ids, made
ids, the path) is replaced by what is the same each time. `--check` writes nothing, and shows
what would be written where a page is not so. Both take other pages instead of all that have marks.

Those in docs/flow have no marks: `tests/test_examples.py` plays what happens between their lines.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from cogapp import Cog

import tester
from queuectl.cli.overview import names_in
from queuectl.cli.root import COMMANDS, HELP_GROUPS
from queuectl.domain import settings as tunables

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/notifications.md", "docs/sweeps.md")
_TIMEOUT_SECONDS = 120
_POLL_SECONDS = 0.05
_LETTERS = "abcdefghjkmnpqrstvwxyz"
_TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"


def main(args: Sequence[str]) -> int:
    """Write the pages, or with `--check` compare them; return the exit code, 0 if all is well."""
    options = ["--check", "--diff"] if "--check" in args else ["-r"]
    pages = [arg for arg in args if arg != "--check"] or [str(ROOT / page) for page in PAGES]
    prologue = f"from {__name__} import commands, console, scenarios, settings"
    try:
        return int(Cog().main(["cog", "-P", "-p", prologue, *options, *pages]) or 0)
    finally:
        Demo.end()


def settings() -> None:
    """Print a table of every setting with its default and its meaning."""
    print("| setting | default | meaning |\n|---|---|---|")
    for key in tunables.KEYS:
        meaning, _, default = tunables.help_of(key).rpartition("; default ")
        shown = "" if tunables.default_of(key) == "" else f"`{default}`"
        print(f"| `{key}` | {shown} | {_cell(meaning)} |")


def commands() -> None:
    """Print a table of every command of the top level, group by group."""
    print("| command | what it does |\n|---|---|")
    for title, names in HELP_GROUPS.items():
        print(f"| **{title}** | |")
        for name in names_in(names):
            print(f"| `{name}` | {_cell(COMMANDS[name][1].removesuffix('.'))} |")


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


def scenarios(block: str) -> None:
    """Print what tester.py prints where all pass; how long each took is kept from the block."""
    seconds = dict(re.findall(r"^PASS  (\w+): .* \((.*) s\)$", block, re.MULTILINE))
    print("```console\n$ python tester.py")
    for scenario in tester.SCENARIOS:
        name = scenario.__name__
        print(f"PASS  {name}: {scenario.__doc__} ({seconds.get(name, '2.0')} s)")
    number = len(tester.SCENARIOS)
    print(f"{number} of {number} scenarios passed\n```")


def console(block: str) -> None:
    """Run the command lines of a block again, and print the block with what they print now."""
    demo = Demo.get()
    print("```console")
    for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        for beginning, happen in BEFORE.items():
            if line.startswith(beginning):
                happen(demo)
        print(f"$ {line}")
        print(end=demo.fixed(demo.run(line)))
    print("```")


class Demo:
    """The home in which the commands of a page run, one after another, and its workers.

    It has a program `sleep` of its own, which ends when it is told to: what is printed while a
    job runs must not depend on how long that takes.
    """

    _current: Demo | None = None

    @classmethod
    def get(cls) -> Demo:
        """Return the demonstration of this process, made on first use."""
        cls._current = cls._current or cls()
        return cls._current

    @classmethod
    def end(cls) -> None:
        """End what runs in it and remove it, if it was made."""
        if cls._current:
            demo, cls._current = cls._current, None
            demo.run("queuectl worker stop --now")
            shutil.rmtree(demo.root)

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="queuectl-demo-")).resolve()
        self.fixed = Fixed(self.root)
        programs = self.root / "bin"
        programs.mkdir()
        self._awake = programs / "awake"
        for name, script in {
            "queuectl": f'exec "{sys.executable}" -m queuectl "$@"',
            "sleep": f'until [ -e "{self._awake}" ]; do /bin/sleep {_POLL_SECONDS}; done',
        }.items():
            program = programs / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o700)
        self._env = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.root),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        (self.root / "demo").mkdir()

    def run(self, line: str) -> str:
        """Run a command line, which must succeed; return what it prints on standard output."""
        ended = subprocess.run(
            ["sh", "-c", line],
            cwd=self.root / "demo",
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        if ended.returncode:
            raise ValueError(f"{line}: exit code {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def write(self, name: str, text: str) -> None:
        """Write a file where the commands are typed."""
        (self.root / "demo" / name).write_text(f"{text}\n")

    def wake(self) -> None:
        """Let what sleeps go on."""
        self._awake.touch()

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until something holds for what `status --json` prints."""
        ends_at = time.monotonic() + _TIMEOUT_SECONDS
        while not is_so(status := json.loads(self.run("queuectl status --json"))):
            if time.monotonic() > ends_at:
                raise TimeoutError(f"the demonstration hangs: {status}")
            time.sleep(_POLL_SECONDS)


def _is_at_work(status: dict[str, Any]) -> bool:
    """Whether one of three workers sleeps, and what else there was has been run."""
    counts, states = status["counts"], sorted(worker["state"] for worker in status["workers"])
    return (counts["completed"], counts["failed"]) == (2, 1) and states == ["busy", "idle", "idle"]


def _bury(demo: Demo) -> None:
    """Let the job that waits for its retry fail again, without that wait."""
    demo.run("queuectl set flaky at=")
    demo.until(lambda status: bool(status["counts"]["dead"]))
    demo.wake()


BEFORE: dict[str, Callable[[Demo], object]] = {
    "queuectl enqueue hello": lambda demo: demo.run("queuectl config set backoff_base 3600"),
    "queuectl worker start --count 2": lambda demo: demo.until(
        lambda status: any(worker["job"] in demo.fixed.made for worker in status["workers"])
    ),
    "queuectl status": lambda demo: demo.until(_is_at_work),
    "queuectl worker stop": _bury,
    "queuectl hook add team": lambda demo: demo.write("slack.url", "https://hooks.slack.com/T0/B0"),
}
"""What happens out of sight before a line, by how the line begins."""


class Fixed:
    """Puts what is the same each time in the place of what is not."""

    FIRST_PID = 29180
    FIRST = datetime(2026, 11, 22, 7, 15, 47, 104_000)
    STEP = timedelta(seconds=1.013)

    def __init__(self, root: Path) -> None:
        self.made: dict[str, str] = {}
        """The ids that were made for the user, and what is shown for each."""
        self._root = root
        self._pids: dict[str, str] = {}
        self._times = 0
        self._random = Random(7)

    def __call__(self, text: str) -> str:
        """Return what a command has printed as the page shows it."""
        for job_id in re.findall(r"Enqueued job '([a-z][0-9a-z]{11})'", text):
            self.made.setdefault(job_id, "".join(self._random.choices(_LETTERS, k=12)))
        for pids in re.findall(r"^Started .*\[(.*)\]$", text, re.MULTILINE):
            for pid in pids.split(", "):
                self._pids.setdefault(pid, str(self.FIRST_PID + len(self._pids)))
        known = "|".join(map(re.escape, [*self.made, *self._pids])) or r"\Z."
        pattern = (
            rf"(?P<time>{_TIME})|(?P<root>{re.escape(str(self._root))})"
            rf"|(?P<worker>[\w.-]+-\d+-[0-9a-f]{{6}}\b)|(?P<known>\b(?:{known})\b)"
        )
        lines = re.sub(pattern, self._replaced, text).splitlines()
        if all(re.fullmatch(r"Worker \d+ stopped", line) for line in lines):
            lines.sort()  # the order in which they are done with their jobs
        text = "".join(f"{line}\n" for line in _aligned(lines))
        return re.sub(_TIME, self._next_time, text)

    def _replaced(self, found: re.Match[str]) -> str:
        text = found[0]
        if found["time"]:
            return text  # its digits are no process ids
        if found["root"]:
            return "/tmp"
        if found["worker"]:
            pid = self._pids[text.rsplit("-", 2)[1]]
            return f"vm-{pid}-{sha256(pid.encode()).hexdigest()[:6]}"
        return self.made.get(text) or self._pids[text]

    def _next_time(self, _found: re.Match[str]) -> str:
        self._times += 1
        instant = self.FIRST + self._times * self.STEP
        return instant.isoformat(timespec="milliseconds") + "Z"


def _aligned(lines: Sequence[str]) -> list[str]:
    """Return lines with the columns of their table as wide as their cells are now.

    Workers are in the order of their process ids, and all on one host.
    """
    first = next((at for at, line in enumerate(lines) if _is_heading(line)), len(lines))
    rows = [re.split(r" {2,}", line) for line in lines[first:]]
    if not rows:
        return list(lines)
    if "HOST" in rows[0]:
        for row in rows[1:]:
            row[rows[0].index("HOST")] = "vm"
    if "PID" in rows[0]:  # those that were started at once are in no order of their own
        rows[1:] = sorted(rows[1:], key=lambda row: row[rows[0].index("PID")])
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        *lines[:first],
        *(
            "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
    ]


def _is_heading(line: str) -> bool:
    return bool(re.fullmatch(r"[A-Z ]+", line)) and "  " in line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
