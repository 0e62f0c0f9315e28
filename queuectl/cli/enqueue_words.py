"""The words of `enqueue`: which of them are an id, a command, JSON, or a file. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from queuectl.domain.errors import InvalidInput, QueuectlError
from queuectl.domain.field_checks import Command, is_name
from queuectl.domain.frozen import frozen
from queuectl.domain.job_fields import command_text
from queuectl.domain.request import Request

_SHELL_GROUP = r'\s*(?:\{\s+|\[\s+|\[\[\s*)[^"{}\[\]\s]'
"""`{ echo hi; }`, `[ -f x ] && y` and `[[ … ]]`: the shell's own, not JSON."""

BUILTINS = frozenset(
    ". : [ alias bg break cd command continue echo eval exec exit export false fg getopts hash "
    "jobs kill printf pwd read readonly return set shift test times trap true type ulimit umask "
    "unalias unset wait".split()
)
"""The commands that /bin/sh has itself."""

_SHELL_CHARACTERS = frozenset("|&;<>()$`\\\"'*?[]#~{}!")

MANY = 100
"""From how many jobs at once it pays to load what looks at them together."""


@frozen
class Source:
    """Where the jobs come from: exactly one of the three is given.

    `is_lines` says that the file has a command in each line, and no JSON.
    """

    command: Command | None = None
    json: str | None = None
    file: str | None = None
    id: str | None = None
    is_lines: bool = False


class WrittenJob(NamedTuple):
    """One job as it was written: its fields, or why it cannot be read. `where` names its place."""

    fields: dict[str, object] | None
    where: str = ""
    error: QueuectlError | None = None


class InputJob(NamedTuple):
    """One job of a batch: where it stands, and its request or why there is none."""

    where: str
    result: Request | QueuectlError


def split_at_dashes(args: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return what stands before the first `--` and what after; None when there is none."""
    if "--" not in args:
        return list(args), None
    at = args.index("--")
    return list(args[:at]), list(args[at + 1 :])


def looks_like_json(word: str) -> bool:
    """Whether a word is meant as JSON and not as a command for the shell."""
    return word.lstrip().startswith(("{", "[")) and not re.match(_SHELL_GROUP, word)


def is_bare(word: str) -> bool:
    """Whether a word can be no command by its look: no path, no NAME=value, nothing for a shell.

    What is left is a name, which may be that of a program, or an argument of one.
    """
    if not word or "/" in word or re.match(r"[A-Za-z_]\w*=", word):
        return False
    return not any(char.isspace() or char in _SHELL_CHARACTERS for char in word)


def read_words(
    words: Sequence[str],
    after_dashes: Sequence[str] | None = None,
    *,
    command: str | None = None,
    file: str | None = None,
    lines: str | None = None,
    job_id: str | None = None,
    verb: str = "enqueue",
) -> Source:
    """Return the one source that words and options name. Raises InvalidInput otherwise.

    `after_dashes` are the words after `--`, None when there was none; `command`, `file`, `lines`
    and `job_id` are the options of these names. `verb` is the command that hints are to name.
    """
    named = {"--command": command, "--file": file, "--lines": lines}
    options = [option for option, value in named.items() if value is not None]
    if len(options) > 1:
        raise InvalidInput(f"{options[0]} and {options[1]} cannot both be given")
    option = options[0] if options else None
    if option and (words or after_dashes is not None):
        raise InvalidInput(
            f"{option} and the word '{[*words, *(after_dashes or ()), '--'][0]}' "
            "cannot both be given",
            hint="an id goes with --id",
        )
    if command is not None:
        return Source(command=command, id=job_id)
    if file is not None or lines is not None:
        is_lines = file is None
        return Source(file=lines if is_lines else file, id=job_id, is_lines=is_lines)
    if after_dashes is not None:
        return _argument_list(words, after_dashes, job_id, verb)
    if not words:
        raise InvalidInput(
            "nothing to enqueue", hint=f'for example: queuectl {verb} job1 "echo Hello"'
        )
    return _one_word(words[0], job_id, verb) if len(words) == 1 else _two_words(words, job_id, verb)


def _argument_list(
    words: Sequence[str], arguments: Sequence[str], job_id: str | None, verb: str
) -> Source:
    if len(words) > 1:
        raise InvalidInput(f"only an id may stand before '--', not {len(words)} words")
    if not arguments:
        raise InvalidInput("no command follows '--'")
    if words:
        job_id = _checked_id(words[0], job_id, verb)
    return Source(command=tuple(arguments), id=job_id)


def _one_word(word: str, job_id: str | None, verb: str) -> Source:
    if word.startswith("@"):
        if word == "@":
            raise InvalidInput("no file is named after '@'", hint="for example @job.json")
        return Source(file=word[1:], id=job_id)
    refuse_dash(word)
    if looks_like_json(word):
        return Source(json=word, id=job_id)
    if is_name(word):
        raise InvalidInput(
            f"'{word}' may be an id or a command",
            hint=f"a command: queuectl {verb} -- {word}, or --command {word}",
        )
    return Source(command=word, id=job_id)


def refuse_dash(word: str) -> None:
    """Refuse `-`, which other programs take for standard input. Raises InvalidInput."""
    if word == "-":
        raise InvalidInput(
            "'-' is no command",
            hint="queuectl enqueue --lines - reads commands from standard input, --file - JSON",
        )


def _two_words(words: Sequence[str], job_id: str | None, verb: str) -> Source:
    if ":::" in words and verb == "enqueue":
        raise InvalidInput(
            "':::' is a word of queuectl add",
            hint=f"queuectl add {command_text(tuple(words))}",
        )
    if len(words) > 2:
        raise InvalidInput(
            f"{len(words)} words are too many",
            hint=f'put the command into quotes ({verb} ID "COMMAND"), or {verb} ID -- COMMAND',
        )
    return Source(command=words[1], id=_checked_id(words[0], job_id, verb))


def _checked_id(word: str, job_id: str | None, verb: str) -> str:
    if job_id is not None:
        raise InvalidInput(f"the id is given twice: --id {job_id} and '{word}'")
    if not is_name(word):
        raise InvalidInput(
            f"'{word}' is not a valid id",
            hint=f'put the whole command into quotes, or write {verb} ID "COMMAND"',
        )
    return word
