"""Crontabs, of a user and of the system, as Debian's cron and cronie read them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen, replace
from queuectl.system.local_zone import local_zone
from queuectl.transfer.foreign.cron_fields import NotCron, split_time
from queuectl.transfer.foreign.crontab_user import has_users, refuse_unclear, remark_on, split_user
from queuectl.transfer.foreign.entry import (
    ONE_ATTEMPT,
    SCHEDULE,
    Context,
    Entry,
    numbered_lines,
    stem_of,
)

DIALECTS = ("debian", "cronie")
_PATH = "/usr/bin:/bin"
_SHELL = "/bin/sh"
_ASSIGNMENT = re.compile(
    r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s="'][^\s=]*))\s*=\s*(?P<value>.*)""",
    re.DOTALL,
)
_MAILS = ("MAILTO", "MAILFROM")
_ESCAPED = ("\\%", "\\\\")
"""What a command has a backslash too many in, for cron alone: each other stays as it is."""

_UTC = ("UTC", "UCT", "Universal", "Zulu")
_ZONES = ("CRON_TZ", "TZ")


@frozen
class _Line:
    """A line with a time, as it stands: where, what is in it, and which variables hold for it."""

    number: int
    time: str
    rest: str
    variables: Mapping[str, str]


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield a schedule for each line with a time; those that cannot be taken say why.

    Whether the sixth word names a user is seen from all lines, and from the file's name.
    """
    lines = list(_lines(data))
    of_system = context.is_system
    if of_system is None:
        of_system = has_users((each.rest for each in lines if isinstance(each, _Line)), context)
    for each in lines:
        yield each if isinstance(each, Entry) else _entry(each, context, of_system=of_system)


def _lines(data: bytes) -> Iterator[_Line | Entry]:
    """Yield the lines that have a time, or are wrong, each with what holds for it."""
    variables: dict[str, str] = {}
    for number, raw in numbered_lines(data):
        line = raw.lstrip(" \t")
        if not line.strip() or line.startswith("#"):
            continue
        assigned = _assignment(line)
        if assigned is not None:
            variables = {**variables, assigned[0]: assigned[1]}
            continue
        try:
            time, rest = split_time(line)
        except NotCron as fault:
            yield Entry(number, _shown(line), kind=SCHEDULE, refused=str(fault))
            continue
        yield _Line(number, time, rest, variables)


def _assignment(line: str) -> tuple[str, str] | None:
    """Return the name and value that a line sets, quotes stripped; None for another line.

    As in cron nothing is expanded, and what stands behind a closing quote makes it no assignment.
    """
    found = _ASSIGNMENT.fullmatch(line)
    if not found:
        return None
    name = next(
        part for part in (found["double"], found["single"], found["bare"]) if part is not None
    )
    value = found["value"].strip(" \t")
    if value[:1] in ("'", '"'):
        quoted, _, behind = value[1:].partition(value[0])
        return None if behind.strip() or value.count(value[0]) < 2 else (name, quoted)
    return name, value


def _shown(line: str) -> str:
    """Return what is shown of a line: all but its standard input, and the values it sets."""
    return _split_percent(re.sub(r"=.*", "=…", line) if _ASSIGNMENT.match(line) else line)[0]


def _split_percent(text: str) -> tuple[str, str | None]:
    """Return a command and what it reads: an unescaped % ends it, and further ones are newlines."""
    parts = re.split(r"((?:\\.)|%)", text, flags=re.DOTALL)
    command: list[str] = []
    for at, part in enumerate(parts):
        if part == "%":
            return "".join(command), _standard_input("".join(parts[at + 1 :]))
        command.append(part[1:] if part in _ESCAPED else part)
    return "".join(command), None


def _standard_input(text: str) -> str:
    lines = re.sub(r"\\?%", lambda found: "%" if len(found[0]) > 1 else "\n", text)
    return lines if lines.endswith("\n") else f"{lines}\n"


def _entry(line: _Line, context: Context, *, of_system: bool) -> Entry:
    entry = Entry(line.number, _shown(line.rest), kind=SCHEDULE)
    try:
        rest = split_user(line.rest, context) if of_system else line.rest
        if context.is_system is None and not of_system:
            refuse_unclear(rest)
        zone, said = _zone(line.variables, context)
    except NotCron as fault:
        return replace(entry, refused=str(fault))
    is_asked = context.is_system is None and not of_system
    doubts = [remark] if is_asked and (remark := remark_on(rest)) else []
    command, standard_input = _split_percent(rest)
    if not command.strip():
        return replace(entry, refused="there is no command")
    return replace(
        entry,
        text=command,
        identity=f"{line.time} {line.rest}",
        name=stem_of(command),
        fields=_fields(command, standard_input, line.variables, context),
        cron=line.time,
        tz=zone,
        changes=(*said, *doubts, *_changes(line.variables, standard_input)),
    )


def _fields(
    command: str, standard_input: str | None, variables: Mapping[str, str], context: Context
) -> dict[str, object]:
    """Return the fields of the jobs of a line: as cron runs it, with nothing but what it gives."""
    home = variables.get("HOME", context.home)
    shell = variables.get("SHELL", _SHELL)
    env = {
        "PATH": _PATH, "USER": context.user,
        **variables, "LOGNAME": context.user, "HOME": home, "SHELL": shell,
    }  # fmt: skip
    return {
        "command": command if shell == _SHELL else [shell, "-c", command],
        "cwd": home,
        "env": env,
        "clean_env": True,
        **({} if standard_input is None else {"input_text": standard_input}),
        **ONE_ATTEMPT,
    }


def _zone(variables: Mapping[str, str], context: Context) -> tuple[str | None, tuple[str, ...]]:
    """Return the zone of a line, None for the local one, and what there is to say of it.

    Debian's cron has no zones; cronie has CRON_TZ. Raises NotCron where it must be asked.
    """
    named = {name: variables[name] for name in _ZONES if variables.get(name)}
    here = _plain_zone(_local_zone())
    others = [name for name, zone in named.items() if _plain_zone(zone) != here]
    if not others:
        return None, ()
    if context.dialect == "cronie" and "CRON_TZ" in named:
        return named["CRON_TZ"], (f"in {named['CRON_TZ']}, as CRON_TZ says",)
    where = " and ".join(f"{name}={named[name]}" for name in others)
    if context.dialect is None:
        raise NotCron(
            f"{where}: Debian's cron starts it by local time all the same, cronie by CRON_TZ: "
            "say --dialect debian or --dialect cronie"
        )
    if context.dialect == "cronie":
        raise NotCron(f"{where}: cronie reads CRON_TZ alone: name the zone there, or leave TZ out")
    return None, (f"by local time: {where} does not move it in Debian's cron",)


def _plain_zone(zone: str) -> str:
    """Return the name of a zone, one for all that are UTC."""
    name = zone.removeprefix(":")
    return "UTC" if name.removeprefix("Etc/") in _UTC else name


def _local_zone() -> str:
    try:
        return local_zone().name
    except InvalidInput:
        return ""


def _changes(variables: Mapping[str, str], standard_input: str | None) -> Iterator[str]:
    if standard_input is not None:
        yield "what stands behind % is its standard input"
    for name in _MAILS:
        if variables.get(name):
            instead = f"queuectl hook add NAME --on dead --mail {variables[name]}"
            yield f"{name}: no mail is sent; {instead}"
    for name, value in variables.items():
        if "$" in value:
            yield f"{name}: cron does not expand the $ in it"
        if " #" in value:
            yield f"{name}: what looks like a comment is part of its value"
