"""The colours of a line while it is typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style, merge_styles

from queuectl.shell.grammar import Marked, Role, is_begun, read

STYLE = Style.from_dict(
    {
        "line.command": "bold ansigreen",
        "line.unknown": "ansired underline",
        "line.option": "ansicyan",
        "line.string": "ansiyellow",
        "line.number": "ansimagenta",
        "line.comment": "ansibrightblack italic",
        "line.system": "ansiblue",
        "toolbar": "reverse",
        "toolbar.trouble": "reverse ansired",
        "bottom-toolbar": "noreverse",
        "help.name": "bold",
        "state.completed": "ansigreen",
        "state.dead": "ansired",
        "state.cancelled": "ansimagenta",
        "welcome.command": "bold",
        "welcome.trouble": "ansired",
        "completion-menu.completion": "bg:ansigray ansiblack",
        "completion-menu.completion.current": "bg:ansiblue ansiwhite noreverse",
        "completion-menu.meta.completion": "bg:ansigray ansiblack",
        "completion-menu.meta.completion.current": "bg:ansiblue ansiwhite",
    }
)
COLOURLESS_STYLE = merge_styles([STYLE, Style.from_dict({"auto-suggestion": "italic"})])
"""Without colours, what is suggested must still differ from what is typed."""

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?[smhd]?")
_JSON_PART = re.compile(r'(?P<string>"(?:[^"\\]|\\.)*"?)|(?P<number>-?\d[\d.eE+-]*)|[^"\d-]+|-')


class LineLexer(Lexer):
    """Colours the words of a line by what the commands make of them."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return a function from the number of a row to its coloured text."""
        rows: list[StyleAndTextTuples] = [[]]
        for style, text in _fragments(document.text):
            for number, part in enumerate(text.split("\n")):
                if number:
                    rows.append([])
                rows[-1].append((style, part))
        return lambda number: rows[number] if number < len(rows) else []


def _fragments(line: str) -> Iterator[tuple[str, str]]:
    done = 0
    for marked in read(line).marked:
        token = marked.token
        yield "", line[done : token.start]
        written = line[token.start : token.end]
        if marked.role is Role.JSON:
            yield from _json(written)
        else:
            yield _style(marked, line), written
        done = token.end
    yield "", line[done:]


def _style(marked: Marked, line: str) -> str:
    token = marked.token
    if marked.role is Role.UNKNOWN:
        return "" if is_begun(marked, line) else "class:line.unknown"
    if marked.role in (Role.VALUE, Role.ARGUMENT):
        if token.is_quoted:
            return "class:line.string"
        return "class:line.number" if _NUMBER.fullmatch(token.text) else ""
    return f"class:line.{marked.role.value}"


def _json(text: str) -> Iterator[tuple[str, str]]:
    for found in _JSON_PART.finditer(text):
        yield (f"class:line.{found.lastgroup}" if found.lastgroup else ""), found.group()
