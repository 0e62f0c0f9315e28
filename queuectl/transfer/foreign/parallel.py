"""GNU parallel's job log: what has failed there, to be run again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from queuectl.domain.errors import InvalidInput
from queuectl.transfer.foreign.entry import (
    ONE_ATTEMPT,
    Context,
    Entry,
    numbered_lines,
    stem_of,
)

_COLUMNS = "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command".split()
_FORMS = {
    **dict.fromkeys(("Starttime", "JobRuntime"), r" *\d+(\.\d+)?"),
    **dict.fromkeys(("Send", "Receive", "Exitval", "Signal"), r"-?\d+"),
}
"""The columns that are numbers: one that is none says that a line is of another form."""

_HERE = (":", "")


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield the jobs of a log in its order; of one that was run again the last line counts.

    Raises InvalidInput for a file without the heading of a job log.
    """
    lines = [(number, line) for number, line in numbered_lines(data) if line.strip()]
    heading = lines[0][1].replace("\tRuntime\t", "\tJobRuntime\t") if lines else ""
    if heading.split("\t") != _COLUMNS:
        raise InvalidInput("it is no job log of parallel: its heading is missing")
    last = {line.partition("\t")[0]: number for number, line in lines[1:]}
    for number, line in lines[1:]:
        yield _entry(number, line, context, is_last=last[line.partition("\t")[0]] == number)


def _entry(number: int, line: str, context: Context, *, is_last: bool) -> Entry:
    values = line.split("\t", len(_COLUMNS) - 1)
    if len(values) < len(_COLUMNS):
        return Entry(number, "", refused=f"it has {len(values)} columns, not {len(_COLUMNS)}")
    seq, host, started, _, _, _, exit_code, signal, command = values
    command = command.replace("\0", "\n")  # as parallel writes what has several lines
    if not is_last:
        return Entry(number, command, left=f"job {seq} was run again below")
    for name, text in zip(_COLUMNS, values, strict=True):
        form = _FORMS.get(name)
        if form and not re.fullmatch(form, text, re.ASCII):
            return Entry(number, command, refused=f"its {name} is no number")
    if int(exit_code) == 0 and int(signal) == 0:
        return Entry(number, command, left="it has succeeded")
    if host not in _HERE:
        why = f"it ran on {host}: queuectl enqueue -- ssh {host} COMMAND"
        return Entry(number, command, refused=why)
    how = f"signal {signal}" if int(signal) else f"exit code {exit_code}"
    return Entry(
        number,
        command,
        identity="\t".join((seq, started, command)),
        name=stem_of(command),
        fields={"command": command, "cwd": context.cwd, **ONE_ATTEMPT},
        changes=(f"failed with {how}", f"runs in {context.cwd}: the log does not say where"),
    )
