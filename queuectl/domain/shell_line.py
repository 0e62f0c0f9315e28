"""Where in a line for /bin/sh a value may stand, so that it is one word and never read by a shell.

A value is put into the line in single quotes. That keeps its meaning only where nothing is quoted
already, so the line is read as a shell reads it; where that cannot be judged for certain, because
shells differ or quotes nest in their own ways, the placeholder is refused. Refusals are for lines
with placeholders alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from queuectl.domain.placeholders import Place, raise_refusal, refuse
from queuectl.domain.shell_programs import is_line_of_shell, unquoted

_SAFE = r"A-Za-z0-9@%+=:,./_\-"
_BARE_VALUE = re.compile(r"[A-Za-z0-9@%+:,./_-]+")
_BARE_BEFORE, _BARE_AFTER = re.compile(rf"[{_SAFE}]*"), re.compile(rf"[{_SAFE}\s;|)]|\Z")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_EXPANSION = re.compile(r"\$\{[#!]?(?:\w+|[@*#?$!-])[^'\"\\`${}()<>;\s]*\}")
_CASE = re.compile(r"\bcase\b")
_BLANKS = " \t\n"
_WORD_ENDS = frozenset("\n;|&()<>")

_BEFORE_COMMAND = frozenset(
    "if then else elif do while until for case in select function time coproc ! { } fi done esac"
    .split()
)  # fmt: skip
"""Words after which a shell may take a word for more than an argument."""

_READ_AGAIN = frozenset("eval let trap alias declare typeset [[".split())
"""Commands that read their words as a line, or as a formula in which commands may stand."""

_VARIABLES = frozenset("read unset readonly".split())
"""Commands whose words are names of variables, in which such a formula may stand."""

_WITH_VARIABLE = frozenset("[ test printf".split())
"""Commands that read what follows `-v` so."""

_ELEMENT = re.compile(r"[A-Za-z_]\w*\[")


def quoted(value: str, *, may_be_bare: bool) -> str:
    """Return a value as one word for a shell; without quotes where it is plain and may be."""
    if may_be_bare and _BARE_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("'", "'\"'\"'") + "'"


def check_places(line: str, places: Sequence[Place]) -> frozenset[int]:
    """Return where those placeholders of a line begin whose values need no quotes if plain.

    Raises InvalidInput for one whose value would not stay one word that no shell reads.
    """
    if not places:
        return frozenset()
    return frozenset(_Scan(line, places).run())


class _Scan:
    """One look at a line, from its first character to its last.

    `stack` holds what encloses the place: `"` for double quotes, `(` for a group, `$` for a command
    whose output is taken, `+` for a calculation; with each of them where the word around it began,
    how many words its command had before that, and which command that is.
    """

    def __init__(self, line: str, places: Sequence[Place]) -> None:
        self.line = line
        self.places = {place.start: place for place in places}
        self.first = places[0]
        self.at = 0
        self.stack: list[tuple[str, int | None, int, str]] = []
        self.word_start: int | None = None
        self.words = 0
        self.previous = ""
        self.command = ""
        self.bare: list[int] = []

    def run(self) -> list[int]:
        """Return where values need no quotes if they are plain. Raises InvalidInput."""
        while self.at < len(self.line):
            place = self.places.get(self.at)
            if place:
                self._place(place)
            elif self._is_quoted:
                self._in_quotes()
            else:
                self._step()
        if self._is_in('"'):
            self._cannot("quotes that do not end")
        return self.bare

    @property
    def _is_quoted(self) -> bool:
        return bool(self.stack) and self.stack[-1][0] == '"'

    def _is_in(self, kind: str) -> bool:
        return any(each == kind for each, *_ in self.stack)

    def _cannot(self, what: str) -> NoReturn:
        """Refuse the first placeholder, as the line has something that cannot be judged."""
        word = self.first.word
        raise_refusal(
            f"in a line with {what} it is not sure that no shell reads {word}", self.first
        )

    def _place(self, place: Place) -> None:
        if self._is_quoted:
            refuse(place, "inside quotes")
        if self.word_start is None:
            self.word_start = place.start
        before = self.line[self.word_start : place.start]
        if self._is_in("+") or (not self.words and _ELEMENT.match(before)):
            refuse(place, "in a calculation")
        if self.previous == "-v" or self.command in _VARIABLES:
            refuse(place, "where the name of a variable is read")
        if is_line_of_shell(self.line[: self.word_start]):
            refuse(place, "in the line that a shell is given with -c")
        for other in self.places.values():
            if self.word_start <= other.start < place.start:
                before = before.replace(other.word, "")
        ends_plainly = place.end in self.places or _BARE_AFTER.match(self.line, place.end)
        if self.words and _BARE_BEFORE.fullmatch(before) and ends_plainly:
            self.bare.append(place.start)
        self.at = place.end

    def _in_quotes(self) -> None:
        """Go on by one step between double quotes."""
        char = self.line[self.at]
        if char == '"':
            self.stack.pop()
            self.at += 1
        elif char == "\\":
            self._escape()
        elif char == "`":
            self._cannot("backquotes")
        elif char == "$":
            self._dollar()
        else:
            self.at += 1

    def _escape(self) -> None:
        place = self.places.get(self.at + 1)
        if place:
            refuse(place, "behind a backslash")
        self.at += 2

    def _dollar(self) -> None:
        rest = self.line[self.at : self.at + 3]
        if rest.startswith("$["):
            self._cannot("$[…]")
        if rest.startswith("${"):
            found = _EXPANSION.match(self.line, self.at)
            if not found:
                self._cannot("${…} of more than a name and plain characters")
            self.at = found.end()
        elif rest.startswith("$("):
            if _CASE.search(self.line):
                self._cannot("both $(…) and `case`")
            self._open("$", rest if rest == "$((" else "$(")
        elif rest.startswith("$'") and not self._is_quoted:
            self._cannot("$'…'")
        else:
            self.at += 1

    def _open(self, kind: str, opening: str) -> None:
        """Enter parentheses; those of a calculation are two."""
        is_double = opening.endswith("((")
        self.stack.append((kind, self.word_start, self.words, self.command))
        if is_double:
            self.stack.append(("+", None, 0, ""))
        self.at += len(opening)
        self._new_command()

    def _close(self) -> None:
        """Leave parentheses; the word goes on in which the output of a command stands."""
        self._new_command()
        if self.stack:
            kind, start, words, command = self.stack.pop()
            if kind == "$":
                self.word_start, self.words, self.command = start, words, command

    def _new_command(self) -> None:
        self.word_start, self.words, self.previous, self.command = None, 0, "", ""

    def _step(self) -> None:
        """Go on by one step where nothing is quoted."""
        char = self.line[self.at]
        if char in _BLANKS or char in _WORD_ENDS:
            self._end_word()
            self._blank_or_operator(char)
            return
        if char == "#" and self.word_start is None:
            self._comment()
            return
        if self.line.startswith("\\\n", self.at):  # the line goes on, a word may not have begun
            self._escape()
            return
        if self.word_start is None:
            self.word_start = self.at
        if char == "\\":
            self._escape()
        elif char == "'":
            self._single_quotes()
        elif char == '"':
            self.stack.append(('"', None, 0, ""))
            self.at += 1
        elif char == "`":
            self._cannot("backquotes")
        elif char == "$":
            self._dollar()
        else:
            self.at += 1

    def _blank_or_operator(self, char: str) -> None:
        if self.line.startswith("<<", self.at):
            self._cannot("<<")
        if char == "(":
            self._open("(", "((" if self.line.startswith("((", self.at) else "(")
            return
        self.at += 1
        if char == ")":
            self._close()
        elif char in "\n;|&":
            self._new_command()

    def _comment(self) -> None:
        if self.stack:
            self._cannot("a comment in parentheses")
        end = self.line.find("\n", self.at)
        end = len(self.line) if end < 0 else end
        for start, place in self.places.items():
            if self.at <= start < end:
                refuse(place, "in a comment")
        self.at = end

    def _single_quotes(self) -> None:
        end = self.line.find("'", self.at + 1)
        if end < 0:
            self._cannot("quotes that do not end")
        for start, place in self.places.items():
            if self.at < start < end:
                refuse(place, "inside quotes")
        self.at = end + 1

    def _end_word(self) -> None:
        """Count a word that has ended, if it is a command or what follows one."""
        if self.word_start is None:
            return
        word = self.line[self.word_start : self.at].replace("\\\n", "")
        self.word_start = None
        is_argument = self.words or not (word in _BEFORE_COMMAND or _ASSIGNMENT.match(word))
        word = unquoted(word)
        if word in _READ_AGAIN:
            self._cannot(f"`{word}`")
        takes_name = self.previous in _WITH_VARIABLE and word == "-v"
        self.previous = word if takes_name or word in _WITH_VARIABLE else ""
        if is_argument:
            self.words += 1
            self.command = self.command or word
