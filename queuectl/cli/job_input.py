"""Jobs as JSON: one object, an array, or JSON lines, from a word, a file or standard input."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from queuectl.cli.enqueue_words import MANY, WrittenJob, looks_like_json
from queuectl.domain.errors import InvalidInput, shown
from queuectl.stores.records import BATCH
from queuectl.system.home import working_directory
from queuectl.system.ids import new_token

if TYPE_CHECKING:
    from queuectl.cli.plain_lines import PlainLines

Blocks = Callable[[Iterator[list[bytes]], str], Iterator[Sequence[WrittenJob]]]
"""Makes jobs of the lines of a file, some at a time, and of its name."""

STANDARD_INPUT = "-"
_BLOCK_BYTES = 512 * 1024
"""About how much of a file is read at once."""

_KINDS = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


class _Incomplete(InvalidInput):
    """JSON that ends too early: more lines may belong to it."""


def from_text(text: str) -> Iterator[Sequence[WrittenJob]]:
    """Return the jobs of a JSON word, some at a time. Raises InvalidInput when it is not JSON."""
    return _begun(_in_blocks(_document(text, "")))


def from_file(path: str) -> Iterator[Sequence[WrittenJob]]:
    """Return the jobs of a file (`-` is standard input), line by line where it has lines of JSON.

    They come some at a time. A first line that is not a whole JSON value means that the file is
    one document. Raises InvalidInput at once when the file cannot be read or the document is not
    JSON.
    """
    return _begun(_read(path, _blocks))


def from_lines(path: str) -> Iterator[Sequence[WrittenJob]]:
    """Return the jobs of a file (`-` is standard input) that has a command in each line.

    Blank lines, and those that begin with `#`, are passed over. They come some at a time. Raises
    InvalidInput at once when the file cannot be read, or has JSON.
    """
    from queuectl.cli.command_lines import blocks_of

    return _begun(_read(path, blocks_of))


def _begun(blocks: Iterator[Sequence[WrittenJob]]) -> Iterator[Sequence[WrittenJob]]:
    """Return the same with the first one read, so that nothing is made for what cannot be read."""
    return chain(list(islice(blocks, 1)), blocks)


def _in_blocks(items: Iterator[WrittenJob]) -> Iterator[Sequence[WrittenJob]]:
    while some := list(islice(items, BATCH)):
        yield some


def _read(path: str, blocks: Blocks) -> Iterator[Sequence[WrittenJob]]:
    name = "standard input" if path == STANDARD_INPUT else path
    try:
        # As bytes, so that a line that is not UTF-8 is refused by itself.
        with _opened(path) as stream:
            yield from blocks(_some_lines(stream, Path(path).is_file()), name)
    except OSError as fault:
        working_directory(path)  # which may be gone
        raise InvalidInput(f"cannot read {name}: {fault.strerror}") from fault


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else Path(path).open("rb")


def _some_lines(stream: IO[bytes], is_file: bool) -> Iterator[list[bytes]]:
    """Yield the lines of a stream; from a pipe fewer at once, as more may be long in coming."""
    while lines := stream.readlines(_BLOCK_BYTES) if is_file else list(islice(stream, BATCH)):
        yield lines


def _blocks(read: Iterator[list[bytes]], name: str) -> Iterator[Sequence[WrittenJob]]:
    first, is_begun = 1, False
    for lines in read:
        following = first + len(lines)
        plain = _plain(lines, name, first)
        if plain is not None:
            yield plain
        else:
            some = list(_numbered(lines, first))
            if some and not is_begun:
                _refuse_commands(some[0][1], name)
            if some and not is_begun and _begins_document(some[0][1]):
                rest = _numbered(chain.from_iterable(read), following)
                yield from _in_blocks(_as_document([*some, *rest], name))
                return
            for start in range(0, len(some), BATCH):
                yield _from_lines(some[start : start + BATCH], name)
        is_begun = is_begun or plain is not None or bool(some)
        first = following
    if not is_begun:
        raise InvalidInput(f"{name} is empty", hint='for example {"command": "echo Hello"}')


def _refuse_commands(line: bytes, name: str) -> None:
    """Raise InvalidInput for a file whose first line is a command, and no JSON."""
    text = line.decode(errors="replace").strip()
    if looks_like_json(text):
        return
    raise InvalidInput(
        f"{name} has no jobs as JSON: its first line is {shown(text)}",
        hint="for commands, one a line: queuectl enqueue --lines "
        f"{STANDARD_INPUT if name == 'standard input' else shlex.quote(name)}",
    )


def _plain(lines: Sequence[bytes], name: str, first: int) -> PlainLines | None:
    if len(lines) < MANY:
        return None
    from queuectl.cli import plain_lines

    return plain_lines.read(plain_lines.Lines(lines, name, first, _from_line))


def _begins_document(line: bytes) -> bool:
    """Whether a first line is not one whole JSON value, or is an array."""
    try:
        return isinstance(parse(_decoded(line)), list)
    except _Incomplete:
        return True
    except InvalidInput:
        return False


def _from_lines(lines: Sequence[tuple[int, bytes]], name: str) -> list[WrittenJob]:
    """Return the jobs of some lines. As one array they are read in a third of the time.

    The words between the lines are not to be guessed. So when the array has them in their places
    and nothing besides, each line was one whole value, and no two make sense only together.
    """
    mark = new_token()
    try:
        whole = f',"{mark}",'.encode().join(line for _, line in lines).decode()
        values = _DECODER.decode(f"[{whole}]")
    except (ValueError, RecursionError, InvalidInput):
        values = []
    count = len(lines)
    if len(values) != 2 * count - 1 or values[1::2] != [mark] * (count - 1):
        return [_from_line(line, f"{name}:{number}") for number, line in lines]
    return [
        WrittenJob(value, f"{name}:{number}")
        if type(value) is dict
        else _item(value, f"{name}:{number}")
        for (number, _), value in zip(lines, values[::2], strict=True)
    ]


def _numbered(lines: Iterable[bytes], first: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their numbers, without a byte order mark."""
    for number, line in enumerate(lines, first):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            yield number, text


def _as_document(every: Sequence[tuple[int, bytes]], name: str) -> Iterator[WrittenJob]:
    """Read all as one JSON value; when it is none, line by line after all."""
    try:
        yield from list(_document(_decoded(b"".join(line for _, line in every)), name))
    except InvalidInput as fault:
        if not any(_is_object(line) for _, line in every):
            raise InvalidInput(f"{name}: {fault}") from None
        for number, line in every:
            yield _from_line(line, f"{name}:{number}")


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(parse(_decoded(line)), dict)
    except InvalidInput:
        return False


def _from_line(line: bytes, where: str) -> WrittenJob:
    try:
        return _item(parse(_decoded(line.rstrip())), where)
    except InvalidInput as fault:
        return WrittenJob(None, where, fault)


def _document(text: str, name: str) -> Iterator[WrittenJob]:
    value = parse(text)
    if not isinstance(value, list):
        yield _item(value, name)
        return
    for number, element in enumerate(value, 1):
        yield _item(element, f"{name}: job {number}" if name else f"job {number}")


def _item(value: object, where: str) -> WrittenJob:
    if isinstance(value, dict):
        return WrittenJob(value, where)
    return WrittenJob(
        None, where, InvalidInput(f"a job must be a JSON object, not {_KINDS[type(value)]}")
    )


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as fault:
        raise InvalidInput(f"not UTF-8 at byte {fault.start + 1}") from None


def parse(text: str) -> object:
    """Return the value of strict JSON: no doubled keys, no NaN. Raises InvalidInput."""
    try:
        value, end = _DECODER.raw_decode(text)  # all that most lines need of `decode`
        if not text[end:].strip(_JSON_SPACE):
            return value
    except (ValueError, RecursionError):
        pass  # is told of below
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        is_open = fault.msg.startswith("Unterminated string")
        kind = _Incomplete if is_open or fault.pos >= len(text.rstrip()) else InvalidInput
        place = f"column {fault.colno}"
        if fault.lineno > 1:
            place = f"line {fault.lineno}, {place}"
        raise kind(f"not valid JSON: {fault.msg} at {place}") from None
    except RecursionError:
        raise InvalidInput("not valid JSON: nested too deeply") from None
    except ValueError:  # of int(), for a number with thousands of digits
        raise InvalidInput("not valid JSON: a number is too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"not valid JSON: field '{twice}' is given twice")
    return fields


def _refuse_constant(word: str) -> object:
    raise InvalidInput(f"not valid JSON: {word} is not a number of JSON")


_JSON_SPACE = " \t\n\r"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
