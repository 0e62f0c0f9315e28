"""at's job files: the script is the command, and the file's name says when."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.domain.times import iso
from queuectl.domain.views import looks_secret
from queuectl.transfer.foreign.entry import (
    ONE_ATTEMPT,
    Context,
    Entry,
    plain_name,
    stem_of,
)

_NAME = re.compile(r"(?P<queue>[a-zA-Z=])(?P<number>[0-9a-f]{5})(?P<minutes>[0-9a-f]{8})")
_OWNER = re.compile(r"# atrun uid=(\d+) gid=\d+")
_EXPORT = re.compile(
    r"^(?P<name>[A-Za-z_]\w*)=(?P<value>.*?); export (?P=name)\n", re.DOTALL | re.MULTILINE
)
_AROUND = re.compile(r"\$\{SHELL:-/bin/sh\} << '?(\w+)'?\n(.*?)\n\1\Z", re.DOTALL)
"""How some versions of at give what a person wrote to that person's shell."""

_DIRECTORY = re.compile(r"cd (?P<path>.+?) \|\| \{")
_MAIL = re.compile(r"# mail\s+(\S+)\s+(\d)")
_RUNS = "="
_WITH_LOAD = "b"


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield the job of a file, or those of a directory in the order of their times.

    Raises InvalidInput where there is none.
    """
    path = context.path
    files = [(path, data)] if path is None or not path.is_dir() else list(_files(path))
    if not files:
        raise InvalidInput("there are no job files of at in it")
    for each, content in sorted(files, key=lambda file: _order(file[0])):
        try:
            script = content.decode()
        except UnicodeDecodeError:
            where = each.name if each else "standard input"
            yield Entry(0, "", where=where, refused="it is not UTF-8 text")
        else:
            yield _entry(each, script, context)


def _files(directory: Path) -> Iterator[tuple[Path, bytes]]:
    for each in directory.iterdir():
        if _NAME.fullmatch(each.name) and each.is_file():
            yield each, each.read_bytes()


def _order(path: Path | None) -> str:
    found = _NAME.fullmatch(path.name) if path else None
    return found["minutes"] + found["number"] if found else ""


def _entry(path: Path | None, script: str, context: Context) -> Entry:
    where = path.name if path else "standard input"
    lines = script.rstrip("\n").split("\n")
    body = _body(lines)
    entry = Entry(0, body, where=where)
    owner = _OWNER.match(lines[1]) if len(lines) > 1 else None
    if owner is None:
        return replace(entry, text="", refused="it is no job of at: its second line is not # atrun")
    if int(owner[1]) != context.uid:
        return replace(entry, refused=f"it is of the user {owner[1]}: import it as that user")
    found = _NAME.fullmatch(where)
    if found is None:
        return replace(
            entry, refused="when is said by the name of the file, as in /var/spool/cron/atjobs"
        )
    if found["queue"] == _RUNS:
        return replace(entry, left="it runs in at: it is listed, and not taken")
    due = datetime.fromtimestamp(int(found["minutes"], 16) * 60, timezone.utc)
    kept, secrets = _without_secrets(lines)
    cwd = next((match["path"] for line in lines if (match := _DIRECTORY.match(line))), "")
    fields = {
        "command": kept,
        "cwd": re.sub(r"\\(.)", r"\1", cwd) or context.home,
        "clean_env": True,
        "run_at": iso(due),
        **({"env": secrets} if secrets else {}),
        **ONE_ATTEMPT,
    }
    return replace(
        entry,
        identity=f"{where} {script}",
        name=f"at-{plain_name(stem_of(body))}",
        fields=fields,
        changes=tuple(_changes(lines, found["queue"], secrets)),
    )


def _body(lines: list[str]) -> str:
    """Return what a person wrote into a script: what stands behind the change of directory."""
    starts = [at for at, line in enumerate(lines) if _DIRECTORY.match(line)]
    if not starts:
        return "\n".join(lines[-1:])
    behind = lines[starts[-1] + 1 :]
    ends = [at for at, line in enumerate(behind) if line.strip() == "}"]
    body = "\n".join(behind[ends[0] + 1 :] if ends else behind).strip()
    around = _AROUND.fullmatch(body)
    return around[2] if around else body


def _without_secrets(lines: list[str]) -> tuple[str, dict[str, str]]:
    """Return a script without the variables whose names look secret, and these.

    A command is shown, and so would they be; a job's variables are masked.
    """
    secrets: dict[str, str] = {}

    def kept(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if not looks_secret(name):
            return found[0]
        try:
            secrets[name] = "".join(shlex.split(value))
        except ValueError:
            secrets[name] = value
        return ""

    starts = [at for at, line in enumerate(lines) if _DIRECTORY.match(line)]
    end = starts[-1] if starts else len(lines)
    head = _EXPORT.sub(kept, "".join(f"{line}\n" for line in lines[:end]))
    return head + "\n".join(lines[end:]), secrets


def _changes(lines: list[str], queue: str, secrets: dict[str, str]) -> Iterator[str]:
    if secrets:
        yield f"{', '.join(secrets)}: a variable of the job, as the command is shown"
    if queue == _WITH_LOAD or queue.isupper():
        yield "it does not wait for a low load, as batch does"
    mail = _MAIL.match(lines[2]) if len(lines) > 2 else None
    if mail and mail[2] == "1":
        yield f"no mail is sent; queuectl hook add NAME --on completed,dead --mail {mail[1]}"
