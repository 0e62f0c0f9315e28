"""Commands one a line, from a file or from standard input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from queuectl.cli.session import Session, print_hint
from queuectl.domain.errors import ExitCode
from queuectl.shell.commands import Leave, run_line
from queuectl.shell.tokenizer import is_continued


def run_script(lines: Iterable[str], session: Session, *, keep_going: bool) -> int:
    """Run each line; stop at the first failure and return its exit code.

    With `keep_going` all are run, and the code is that of the first failure.
    """
    code: int = ExitCode.OK
    for number, line in joined(lines):
        try:
            result = run_line(line, session)
        except Leave:
            break
        code = code or result
        if result == ExitCode.INTERRUPTED:
            return result
        if result and not keep_going:
            print_hint(f"stopped at line {number}: {line.strip()}")
            return result
    return code


def joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, each with those that a final backslash makes a part of it."""
    kept, number = "", 0
    for number, line in enumerate(lines, 1):
        kept += line.rstrip("\r\n")
        if is_continued(kept):
            kept = kept[:-1]
            continue
        yield number, kept
        kept = ""
    if kept:
        yield number, kept
