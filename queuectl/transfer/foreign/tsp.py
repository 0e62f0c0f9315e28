"""task-spooler's list (`tsp -l`, `ts -l`): what waits there. It does not show quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.transfer.foreign.entry import (
    ONE_ATTEMPT,
    QUEUE,
    Context,
    Entry,
    digest_of,
    name_for,
    numbered_lines,
    stem_of,
)

_HEADING = re.compile(
    r"ID\s+State\s+Output\s+E-Level\s+Times?(?:\(r/u/s\))?\s+Command(?:\s+\[run=(\d+)/(\d+)\])?\s*"
)
_ROW = re.compile(r"(?P<id>\d+)\s+(?P<state>[a-z]+)\s+(?P<output>\S+)\s+(?P<rest>.*)")
_ENDED = re.compile(r"(?P<code>-?\d+)\s+\d+\.\d+(?:/\d+\.\d+/\d+\.\d+|[a-z]*)\s+(?P<command>.*)")
_LABEL = re.compile(r"\[(?P<label>[^\]\s][^\]]*)\](?P<command>.*)")
_AFTER = re.compile(r"(?:\[(?P<ids>[\d,\s]*)\])?\s*&&\s*(?P<command>.*)")
_SHELLS = frozenset("sh bash dash zsh ksh".split())
_QUEUE = "tsp"
LOST = "its quotes are lost: look at it before it runs"


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield the queue with its slots, then the jobs. Raises InvalidInput for another list."""
    lines = [(number, line) for number, line in numbered_lines(data) if line.strip()]
    heading = _HEADING.fullmatch(lines[0][1]) if lines else None
    if heading is None:
        raise InvalidInput("it is no list of tsp: its heading is not ID, State, Output … Command")
    slots = int(heading[2] or 1)
    yield Entry(lines[0][0], f"slots {slots}", kind=QUEUE, name=_QUEUE, limit=slots)
    rows = [(number, line, _ROW.fullmatch(line.strip())) for number, line in lines[1:]]
    succeeded = {row["id"] for _, _, row in rows if row is not None and _has_succeeded(row)}
    names: dict[str, str] = {}
    for number, line, row in rows:
        if row is None:
            yield Entry(number, line.strip(), refused="it is no row of the list")
        elif row["state"] == "queued":
            yield _queued(number, row, names, succeeded, context)
        else:
            yield _not_queued(number, row)


def _has_succeeded(row: re.Match[str]) -> bool:
    ended = _ENDED.fullmatch(row["rest"])
    return row["state"] == "finished" and ended is not None and ended["code"] == "0"


def _not_queued(number: int, row: re.Match[str]) -> Entry:
    state = row["state"]
    if state == "finished":
        ended = _ENDED.fullmatch(row["rest"])
        command = ended["command"] if ended else row["rest"]
        return Entry(number, command, left="it has ended")
    entry = Entry(number, row["rest"])
    if state in ("running", "allocating"):
        return replace(entry, left="it runs in tsp: it is listed, and not taken")
    if state == "skipped":
        return replace(entry, left="tsp has skipped it, as one before it has failed")
    return replace(entry, refused=f"its state is '{state}'")


def _queued(
    number: int,
    row: re.Match[str],
    names: dict[str, str],
    succeeded: set[str],
    context: Context,
) -> Entry:
    """Return what becomes of a row that waits; its name joins `names` when it is taken."""
    task, rest = row["id"], row["rest"]
    parents, label, command = _parts(rest, int(task))
    identity = f"{task} {rest}"
    digest = digest_of("tsp", identity)
    name = name_for(label or stem_of(command), digest)
    entry = Entry(number, command, identity, name=name, digest=digest)
    if not command:
        return replace(entry, refused="there is no command")
    if context.strict:
        return replace(entry, refused="its quotes are lost (--strict)")
    missing = [each for each in parents if each not in names and each not in succeeded]
    if missing:
        return replace(entry, refused=f"it waits for job {missing[0]}, which is not taken")
    names[task] = name
    after = [names[each] for each in parents if each in names]
    fields = {
        "command": arguments_of(command),
        "cwd": context.cwd,
        "queue": _QUEUE,
        **({"labels": [label]} if label else {}),
        **({"after": after} if after else {}),
        **ONE_ATTEMPT,
    }
    where = f"runs in {context.cwd}: the list does not say where"
    return replace(entry, fields=fields, changes=(LOST, where))


def _parts(rest: str, task: int) -> tuple[list[str], str, str]:
    """Return the jobs that a row waits for, its label and its command.

    `&&` alone is for the job that was added before it.
    """
    parents: list[str] = []
    if after := _AFTER.fullmatch(rest):
        ids = re.findall(r"\d+", after["ids"] or "")
        parents, rest = ids or [str(task - 1)], after["command"]
    labelled = _LABEL.fullmatch(rest)
    label = labelled["label"] if labelled else ""
    return parents, label, (labelled["command"] if labelled else rest).strip()


def arguments_of(command: str) -> list[str]:
    """Return the arguments of a command that was shown without its quotes, as they most likely
    were: parted by blanks, but for what a shell was given behind `-c`.
    """
    words = command.split()
    if words[0].rpartition("/")[2] in _SHELLS and "-c" in words[1:3]:
        at = words.index("-c")
        return [*words[: at + 1], command.split(" -c ", 1)[-1].strip()]
    return words
