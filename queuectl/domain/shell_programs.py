"""Programs that read an argument as a line for a shell: `sh -c LINE`, `su -c LINE`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from queuectl.domain.placeholders import Piece, Place, refuse

_SHELLS = frozenset("sh bash dash ash ksh mksh zsh fish csh tcsh".split())
_BY_SHELL = frozenset("su runuser script".split())
"""Programs that give to a shell what stands behind `-c`."""

_WITH_LINE = re.compile(r"-[A-Za-z]*c[A-Za-z]*|--command(=.*)?", re.DOTALL)
_WITH_VALUE = re.compile(r"[-+][A-Za-z]*[oO]|--rcfile|--init-file")
_SHELL_WITH_LINE = re.compile(
    rf"(?:^|[\s;|&(/])(?:{'|'.join(sorted(_SHELLS | _BY_SHELL))}|\$\{{?SHELL\}}?)"
    r"\s(?:[^;|&\n]*\s)?(?:-[A-Za-z]*c[A-Za-z]*|--command)\s+\Z"
)


def unquoted(text: str) -> str:
    """Return a part of a line without its quotes and backslashes: `\\eval` is `eval` too."""
    return re.sub(r"\\\n|['\"\\]", "", text)


def is_line_of_shell(before: str) -> bool:
    """Whether what stands before a word of a line makes that word the line of another shell."""
    return _SHELL_WITH_LINE.search(unquoted(before)) is not None


def has_shell(arguments: Sequence[str]) -> bool:
    """Whether one of a command's arguments is a shell, which may read variables in others."""
    return any(each.rpartition("/")[2] in _SHELLS | _BY_SHELL for each in arguments)


def check_arguments(arguments: Sequence[str], parts: Sequence[Sequence[Piece]]) -> None:
    """Raise InvalidInput for a placeholder in the line that a shell among the arguments reads."""
    for at, argument in enumerate(arguments):
        name = argument.rpartition("/")[2]
        if name in _SHELLS:
            read = _line_of_shell(arguments, at + 1)
        elif name in _BY_SHELL:
            read = _lines_by_shell(arguments, at + 1)
        else:
            continue
        for piece in (piece for place in read for piece in parts[place]):
            if isinstance(piece, Place):
                refuse(piece, f"in the line that {argument} reads")


def _line_of_shell(arguments: Sequence[str], first: int) -> list[int]:
    """Return which argument of a shell it reads as a line: the first that is no option."""
    is_line, is_value = False, False
    for at in range(first, len(arguments)):
        argument = arguments[at]
        if is_value:
            is_value = False
        elif argument[:1] in ("-", "+"):
            is_line = is_line or bool(_WITH_LINE.fullmatch(argument))
            is_value = bool(_WITH_VALUE.fullmatch(argument))
        else:
            return [at] if is_line else []
    return []


def _lines_by_shell(arguments: Sequence[str], first: int) -> list[int]:
    """Return which arguments a program gives to a shell: those behind `-c`, wherever that is."""
    read: list[int] = []
    for at in range(first, len(arguments)):
        if _WITH_LINE.fullmatch(arguments[at]):
            read.append(at + ("=" not in arguments[at]))
    return [at for at in read if at < len(arguments)]
