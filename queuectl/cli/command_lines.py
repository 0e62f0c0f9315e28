"""Files with a command in each line, some lines at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

from queuectl.cli.enqueue_words import MANY, WrittenJob
from queuectl.domain.errors import InvalidInput

_MARK = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"


def blocks_of(read: Iterator[list[bytes]], name: str) -> Iterator[Sequence[WrittenJob]]:
    """Yield the jobs of the lines of a file, in the order and the portions that these are read in.

    Raises InvalidInput for a file without commands, and for one whose first is a JSON object.
    """
    first, is_begun = 1, False
    for lines in read:
        commands = [line.strip(_BLANKS) for line in lines]
        if first == 1:
            commands[0] = commands[0].removeprefix(_MARK)
        are_commands = [command[:1] not in (b"", b"#") for command in commands]
        numbers: Sequence[int] = range(first, first + len(lines))
        if not all(are_commands):
            numbers = [*compress(numbers, are_commands)]
            commands = [*compress(commands, are_commands)]
        if commands:
            if not is_begun:
                _refuse_json(commands[0], name)
            is_begun = True
            yield _jobs(commands, numbers, name)
        first += len(lines)
    if not is_begun:
        raise InvalidInput(f"{name} has no commands", hint="one a line, for example echo Hello")


def _refuse_json(line: bytes, name: str) -> None:
    import json

    try:
        value = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        raise InvalidInput(f"{name} has JSON and no commands", hint="--file reads jobs as JSON")


def _jobs(commands: list[bytes], numbers: Sequence[int], name: str) -> Sequence[WrittenJob]:
    try:
        texts = b"\n".join(commands).decode().split("\n")
    except UnicodeDecodeError:
        pairs = zip(commands, numbers, strict=True)
        return [_job(command, f"{name}:{number}") for command, number in pairs]
    if len(texts) < MANY:
        places = (f"{name}:{number}" for number in numbers)
        return [
            WrittenJob({"command": text}, place) for text, place in zip(texts, places, strict=True)
        ]
    from queuectl.cli import plain_lines

    lines = plain_lines.Lines(commands, name, numbers[0], _job)
    return plain_lines.CommandLines(lines, texts, numbers)


def _job(command: bytes, where: str) -> WrittenJob:
    try:
        return WrittenJob({"command": command.decode()}, where)
    except UnicodeDecodeError as fault:
        return WrittenJob(None, where, InvalidInput(f"not UTF-8 at byte {fault.start + 1}"))
