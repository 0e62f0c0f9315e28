"""Lines of JSON that name a command, and an id or none, and nothing else: many at a time.

What `read` takes, the general way (`job_input`, `RequestForm.fill`) takes too, and makes the same
of it; what it does not take is left to that, and so is a line of which something is wrong.
Imported for files of many lines only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, overload

import msgspec

from queuectl.cli.enqueue_words import InputJob, WrittenJob
from queuectl.domain.alike import (
    AlikeRequests,
    is_plain,
    requests_of_columns,
    requests_of_mappings,
)
from queuectl.domain.request import Request, RequestForm
from queuectl.stores.exchange import ALIKE_BATCH
from queuectl.stores.records import BATCH

_LOT_SECONDS = 0.3
"""How long it is to take to store what is stored at once: a part of that workers wait."""

_QUOTES_OF_FIELD = 4


class _Named(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: str
    command: str


class _Unnamed(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    command: str


_named = msgspec.json.Decoder(_Named)
_unnamed = msgspec.json.Decoder(_Unnamed)


class Lines(NamedTuple):
    """Lines that follow one another in a file, from the first on, and what reads one of them."""

    lines: Sequence[bytes]
    name: str
    first: int
    read_one: Callable[[bytes, str], WrittenJob]


class PlainLines(Sequence[WrittenJob]):
    """The jobs of lines, each as the general way reads it; all their commands, and all their ids.

    `ids` is None where they name none.
    """

    __slots__ = ("_of", "commands", "ids")

    def __init__(self, of: Lines, commands: Sequence[str], ids: Sequence[str] | None) -> None:
        self._of = of
        self.commands = commands
        self.ids = ids

    def __len__(self) -> int:
        return len(self.commands)

    @overload
    def __getitem__(self, at: int) -> WrittenJob: ...

    @overload
    def __getitem__(self, at: slice) -> PlainLines: ...

    def __getitem__(self, at: int | slice) -> WrittenJob | PlainLines:
        if not isinstance(at, slice):
            return self._of.read_one(self._of.lines[at], self.place(at))
        ids = None if self.ids is None else self.ids[at]
        lines, name, first, read_one = self._of
        some = Lines(lines[at], name, first + at.indices(len(self))[0], read_one)
        return PlainLines(some, self.commands[at], ids)

    def place(self, at: int) -> str:
        """Return where one of them stands."""
        return f"{self._of.name}:{self._of.first + range(len(self))[at]}"


class CommandLines(PlainLines):
    """The jobs of lines that are commands; `numbers` say which lines these are."""

    __slots__ = ("_numbers",)

    def __init__(self, of: Lines, commands: Sequence[str], numbers: Sequence[int]) -> None:
        super().__init__(of, commands, None)
        self._numbers = numbers

    @overload
    def __getitem__(self, at: int) -> WrittenJob: ...

    @overload
    def __getitem__(self, at: slice) -> CommandLines: ...

    def __getitem__(self, at: int | slice) -> WrittenJob | CommandLines:
        if isinstance(at, slice):
            return CommandLines(self._of, self.commands[at], self._numbers[at])
        return WrittenJob({"command": self.commands[at]}, self.place(at))

    def place(self, at: int) -> str:
        """Return where one of them stands."""
        return f"{self._of.name}:{self._numbers[at]}"


class PlainJobs(Sequence[InputJob]):
    """What jobs ask for of which nothing is wrong; `place` says where one of them stands."""

    __slots__ = ("_place", "requests")

    def __init__(self, place: Callable[[int], str], requests: AlikeRequests) -> None:
        self._place = place
        self.requests = requests

    def __len__(self) -> int:
        return len(self.requests)

    @overload
    def __getitem__(self, at: int) -> InputJob: ...

    @overload
    def __getitem__(self, at: slice) -> list[InputJob]: ...

    def __getitem__(self, at: int | slice) -> InputJob | list[InputJob]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        return InputJob(self._place(at), self.requests[at])


def read(some: Lines) -> PlainLines | None:
    """Return the jobs of lines; None when one of them is anything but the plainest."""
    text = b"".join(some.lines).rstrip(b"\n")
    number = len(some.lines)
    is_named = b'"id"' in some.lines[0]
    # One object a line: as many lines as places where one ends and the next begins. Within a
    # string there is no bare line break, and these objects hold no others.
    between = text.count(b"\n")
    if not text.startswith(b"{") or between != text.count(b"}\n{") or between + 1 != number:
        return None
    if _quotes(text) != number * _QUOTES_OF_FIELD * (1 + is_named):
        return None  # a field that is there twice has more
    try:
        if is_named:
            named = _named.decode_lines(text)
            return PlainLines(some, [job.command for job in named], [job.id for job in named])
        return PlainLines(some, [job.command for job in _unnamed.decode_lines(text)], None)
    except msgspec.MsgspecError:
        return None


def _quotes(text: bytes) -> int:
    """Return how many quotes begin and end strings, in lines of JSON."""
    if b"\\" not in text:
        return text.count(b'"')
    text = text.replace(rb"\\", b"")
    return text.count(b'"') - text.count(rb"\"")


class Lots:
    """Parts jobs into lots that are stored at once, of a size that follows from the last one.

    All of them are as `model`, but for what each says itself.
    """

    def __init__(self, form: RequestForm, model: Request) -> None:
        self._form = form
        self._model = model
        self._is_plain = is_plain(model)
        self._size = 2 * BATCH

    def of(self, jobs: Sequence[WrittenJob]) -> Iterator[PlainJobs | Sequence[WrittenJob]]:
        """Yield what jobs ask for; the jobs themselves where each is to be looked at alone.

        Whoever takes a lot stores it before the next.
        """
        start = 0
        while start < len(jobs):
            are_lines = isinstance(jobs, PlainLines)
            some = jobs[start : start + (self._size if are_lines else BATCH)]
            start += len(some)
            plain = self._plain(some)
            begun = time.monotonic()
            yield plain or some
            if are_lines:
                self._learn(len(some), time.monotonic() - begun)

    def _plain(self, some: Sequence[WrittenJob]) -> PlainJobs | None:
        if not self._is_plain:
            return None
        if isinstance(some, PlainLines):
            requests = requests_of_columns(self._form, self._model, some.ids, some.commands)
            return PlainJobs(some.place, requests) if requests else None
        requests = requests_of_mappings(self._form, self._model, [job.fields or {} for job in some])
        return PlainJobs(lambda at: some[at].where, requests) if requests else None

    def _learn(self, number: int, seconds: float) -> None:
        wanted = int(number * _LOT_SECONDS / max(seconds, 1e-6))
        self._size = max(BATCH, min(ALIKE_BATCH, wanted, 2 * self._size))
