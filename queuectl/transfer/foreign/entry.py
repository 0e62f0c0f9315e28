"""One thing that a file of another program says, in terms of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen, replace

JOB, SCHEDULE, QUEUE = "job", "schedule", "queue"

_STEM_LENGTH = 40
_OF_DIGEST = 10
"""How many digits of a hash are in a name: enough for many thousand lines of one file."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_SAYS_NOTHING = frozenset("cd test [ . source export set umask module".split())
_WRAPPERS = frozenset("env exec nice ionice nohup sudo time timeout flock sh bash dash zsh".split())
"""Programs that say little of what a line does."""

ONE_ATTEMPT: Mapping[str, Any] = {"max_retries": 1, "timeout": 0}
"""The fields of a job for whoever neither repeats nor limits what has failed or takes long."""


@frozen
class Context:
    """What a reader may know beside the file: whose it is, where it is read, what was asked for.

    `dialect` is whose cron it is, `is_system` whether lines name users or units are root's; None
    where nobody said. With `with_env` whole environments are taken, with `strict` nothing whose
    quotes are lost.
    """

    user: str
    uid: int
    home: str
    cwd: str
    path: Path | None = None
    dialect: str | None = None
    is_system: bool | None = None
    with_env: bool = False
    strict: bool = False


@frozen
class Entry:
    """What one line is taken as, changed how, or refused why.

    `line` numbers lines from 1, and is 0 where `where` says more; `text` is what is shown of it,
    and holds no secret. `identity` is what the same line has when it is read again; its hash alone
    is kept. `fields` are those of `enqueue`. A schedule has `cron` and perhaps a zone, a queue its
    `limit`. `environment` is a whole one for the job. `left` says why it is not ours to take,
    `refused` what is wrong with it.
    """

    line: int
    text: str
    identity: str = ""
    kind: str = JOB
    name: str = ""
    where: str = ""
    fields: Mapping[str, Any] | None = None
    cron: str = ""
    tz: str | None = None
    catch_up: bool = False
    overlap: bool = True
    limit: int = 0
    environment: tuple[tuple[str, str], ...] = ()
    changes: tuple[str, ...] = ()
    left: str = ""
    refused: str = ""
    digest: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether there is something to take."""
        return not (self.left or self.refused)


def digest_of(source: str, identity: str, nth: int = 1) -> str:
    """Return what is kept of a line: its format, and the hash of what it says.

    `nth` tells lines apart that are the same in one file.
    """
    text = f"{source}\n{nth}\n{identity}"
    return f"{source}:{sha256(text.encode(errors='surrogateescape')).hexdigest()[:32]}"


def name_for(stem: str, digest: str) -> str:
    """Return the name of what a line becomes: what it is about, and the line's own."""
    return f"{plain_name(stem)}-{digest.rpartition(':')[2][:_OF_DIGEST]}"


def plain_name(stem: str) -> str:
    """Return text as part of a name: letters, digits, dots and dashes."""
    name = _NOT_IN_NAMES.sub("-", stem)[:_STEM_LENGTH].strip("-._")
    return name or "job"


def stem_of(command: str) -> str:
    """Return what a line for the shell is about: the name of the first program that says it."""
    for part in re.split(r"&&|\|\||[;|()\n]", command):
        words = [word.strip("\"'") for word in part.split()]
        if words and words[0] in _SAYS_NOTHING:
            continue
        if "flock" in words:  # whose first argument is a file
            words = [word for word in words[words.index("flock") + 1 :] if word[:1] != "-"][1:]
        for word in words:
            name = word.rstrip("/").rpartition("/")[2]
            is_program = name[:1].isalpha() and "=" not in word and not word.startswith("-")
            if is_program and name not in _WRAPPERS:
                return name
    return "job"


def with_digests(source: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield entries with their digests, and names where they have none."""
    seen: dict[str, int] = {}
    for entry in entries:
        if entry.digest or not entry.identity:
            yield entry
            continue
        nth = seen[entry.identity] = seen.get(entry.identity, 0) + 1
        digest = digest_of(source, entry.identity, nth)
        yield replace(entry, digest=digest, name=name_for(entry.name or entry.text, digest))


def decoded(data: bytes) -> str:
    """Return a file's text, without a byte order mark. Raises InvalidInput."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise InvalidInput(f"line {line} is not UTF-8 text") from None


def numbered_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file from 1, without their ends, those of Windows too."""
    for number, line in enumerate(decoded(data).split("\n"), 1):
        yield number, line.removesuffix("\r")
