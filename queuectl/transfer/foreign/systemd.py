"""systemd's timers with their services, from a directory, a file, or `systemctl cat`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import replace
from queuectl.transfer.foreign.entry import (
    SCHEDULE,
    Context,
    Entry,
    digest_of,
    name_for,
    numbered_lines,
    plain_name,
)
from queuectl.transfer.foreign.on_calendar import NotForCron, cron_of
from queuectl.transfer.foreign.unit_files import (
    NotUnit,
    Unit,
    command_of,
    seconds_of,
    unit_of,
    with_specifiers,
    words_of,
)

_HEADING = re.compile(r"# (?P<path>/\S+\.(?:timer|service))")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEM = ("/etc/systemd/", "/run/systemd/", "/lib/systemd/", "/usr/lib/systemd/",
           "/usr/local/lib/systemd/")  # fmt: skip
Files = Mapping[str, list[tuple[int, str]]]
"""Unit files by their names, as numbered lines."""

_TYPES = ("", "oneshot", "simple", "exec")
_TO_FILES = ("file:", "append:", "truncate:")
_YES = ("yes", "true", "on", "1")

_REFUSED = {
    "Timer": (
        "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec",
        "OnClockChange", "OnTimezoneChange",
    ),
    "Service": ("ExecStartPost", "ExecCondition", "EnvironmentFile", "PassEnvironment",
                "DynamicUser", "RootDirectory", "LoadCredential"),
}  # fmt: skip
"""What changes when, or with what, a command runs, and has no counterpart."""

_DELAYS = ("RandomizedDelaySec", "RandomizedOffsetSec")
_ELSEWHERE = "queuectl schedule add NAME --every 90m COMMAND is for intervals"
_WITHOUT_SAYING = frozenset(
    "Unit.Description Unit.Documentation Timer.OnCalendar Timer.Persistent Timer.Unit "
    "Timer.AccuracySec Timer.RandomizedDelaySec Timer.RandomizedOffsetSec Timer.FixedRandomDelay "
    "Service.Type Service.ExecStart Service.ExecStartPre Service.Environment Service.User "
    "Service.Group Service.WorkingDirectory Service.TimeoutStartSec Service.RuntimeMaxSec "
    "Service.SyslogIdentifier Service.StandardOutput Service.StandardError Unit.Requires".split()
)
"""What is taken, or means nothing to a queue."""


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield a schedule for each `OnCalendar` of each timer. Raises InvalidInput for no timers."""
    files = dict(_files(data, context.path))
    timers = [name for name in files if name.endswith(".timer")]
    if not timers:
        raise InvalidInput("there is no timer in it (NAME.timer, and NAME.service beside it)")
    if context.is_system is None:
        context = replace(context, is_system=_is_of_system(data, context))
    for name in timers:
        try:
            timer = unit_of(name, files[name])
        except NotUnit as fault:
            yield Entry(0, name, kind=SCHEDULE, where=name, refused=str(fault))
        else:
            yield from _schedules(timer, files, context)


def _files(data: bytes, path: Path | None) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield the unit files that there are: their names and numbered lines."""
    if path is not None and path.is_dir():
        for each in sorted(path.iterdir()):
            if each.suffix in (".timer", ".service") and each.is_file():
                yield each.name, _with_drop_ins(each)
        return
    name = path.name if path is not None else ""
    parts: list[tuple[str, list[tuple[int, str]]]] = [(name, [])]
    for number, line in numbered_lines(data):
        if heading := _HEADING.fullmatch(line.strip()):
            parts.append((Path(heading["path"]).name, []))
        parts[-1][1].append((number, line))
    if path is not None and path.suffix in (".timer", ".service"):
        parts[0] = (name, _with_drop_ins(path))
    yield from ((each, lines) for each, lines in parts if each)
    if path is not None and path.suffix == ".timer":
        for each in sorted(path.parent.glob("*.service")):
            yield each.name, _with_drop_ins(each)


def _with_drop_ins(path: Path) -> list[tuple[int, str]]:
    """Return the numbered lines of a unit file, and those of the drop-ins that are beside it."""
    more = sorted((path.parent / f"{path.name}.d").glob("*.conf"))
    return [line for file in (path, *more) for line in numbered_lines(file.read_bytes())]


def _schedules(timer: Unit, files: Files, context: Context) -> Iterator[Entry]:
    stem = timer.name.removesuffix(".timer")
    line = timer.lines.get("Timer.OnCalendar", 0)
    base = Entry(line, stem, kind=SCHEDULE, where=timer.name, name=plain_name(stem))
    try:
        service = _service(timer, stem, files)
        _refuse(timer, service, context)
        known = {"%": "%", "n": service.name, "N": stem, "p": stem, "h": context.home,
                 "u": context.user}  # fmt: skip
        fields = _fields(service, known, context)
    except (NotUnit, NotForCron) as fault:
        yield replace(base, refused=str(fault))
        return
    calendars = timer.all("Timer.OnCalendar")
    if not calendars:
        yield replace(base, refused="it has no OnCalendar")
    persistent = timer.last("Timer.Persistent").lower() in _YES
    changes = tuple(_changes(timer, service, persistent=persistent))
    for calendar in calendars:
        yield _schedule(base, calendar, fields, changes, persistent=persistent)


def _schedule(
    base: Entry, calendar: str, fields: Mapping[str, Any], changes: tuple[str, ...], *,
    persistent: bool,
) -> Entry:  # fmt: skip
    command = fields["command"]
    identity = f"{base.name} {calendar} {command}"
    digest = digest_of("systemd", identity)
    entry = replace(
        base, text=command if isinstance(command, str) else shlex.join(command), digest=digest,
        identity=identity, name=name_for(base.name, digest),
    )  # fmt: skip
    try:
        cron, zone = cron_of(calendar)
    except NotForCron as fault:
        return replace(entry, refused=str(fault))
    said = () if cron == calendar else (f"OnCalendar={calendar}",)
    return replace(
        entry, fields=fields, cron=cron, tz=zone, catch_up=persistent, overlap=False,
        changes=(*said, *changes),
    )  # fmt: skip


def _service(timer: Unit, stem: str, files: Files) -> Unit:
    if "@" in timer.name:
        raise NotUnit("it is a template: import what systemctl cat shows of an instance by hand")
    name = timer.last("Timer.Unit") or f"{stem}.service"
    if name not in files:
        raise NotUnit(f"{name} is not in it: systemctl cat {timer.name} {name} shows both")
    return unit_of(name, files[name])


def _refuse(timer: Unit, service: Unit, context: Context) -> None:
    """Raise NotUnit for what would make a run another one than it was."""
    for unit in (timer, service):
        for section, keys in _REFUSED.items():
            for key in keys:
                if unit.all(f"{section}.{key}"):
                    more = f": {_ELSEWHERE}" if section == "Timer" else ""
                    raise NotUnit(f"{key} has no counterpart{more}")
        for name in unit.values:
            if name.startswith(("Unit.Condition", "Unit.Assert")):
                raise NotUnit(f"{name.partition('.')[2]} has no counterpart")
    for key in _DELAYS:
        if seconds_of(timer.last(f"Timer.{key}")):
            raise NotUnit(f"{key} has no counterpart: choose a minute of your own")
    user = service.last("Service.User") or ("root" if context.is_system else context.user)
    if user not in (context.user, str(context.uid)):
        raise NotUnit(f"it runs as {user}: sudo -u {user} queuectl import … takes it")


def _is_of_system(data: bytes, context: Context) -> bool:
    """Whether a unit is the system's: its place says so, or what `systemctl cat` says of it."""
    path = "" if context.path is None else str(context.path.absolute())
    headings = (_HEADING.fullmatch(line.strip()) for _, line in numbered_lines(data))
    paths = [path, *(heading["path"] for heading in headings if heading)]
    return any(each.startswith(_SYSTEM) and "/user/" not in each for each in paths)


def _fields(service: Unit, known: Mapping[str, str], context: Context) -> dict[str, Any]:
    commands = [
        command_of(text, known)
        for key in ("Service.ExecStartPre", "Service.ExecStart")
        for text in service.all(key)
    ]
    if not service.all("Service.ExecStart"):
        raise NotUnit(f"{service.name} has no ExecStart")
    lines = [each if isinstance(each, str) else shlex.join(each) for each in commands]
    env: dict[str, str] = {"PATH": _PATH}
    for text in service.all("Service.Environment"):
        for word in words_of(with_specifiers(text, known)):
            name, _, value = word.partition("=")
            env[name] = value
    if service.last("Service.Type") not in _TYPES:
        raise NotUnit(f"Type={service.last('Service.Type')}: it is no command that ends by itself")
    is_oneshot = service.last("Service.Type") == "oneshot"
    limit = service.last("Service.TimeoutStartSec") if is_oneshot else ""
    timeout = seconds_of(service.last("Service.RuntimeMaxSec") or limit)
    return {
        "command": commands[0] if len(commands) == 1 else " && ".join(lines),
        "cwd": _directory(service, known, context),
        "env": env,
        "clean_env": True,
        "max_retries": 1,
        "timeout": timeout,
    }


def _directory(service: Unit, known: Mapping[str, str], context: Context) -> str:
    directory = service.last("Service.WorkingDirectory").removeprefix("-")
    if directory == "~":
        return context.home
    if directory:
        return with_specifiers(directory, known)
    return "/" if context.is_system else context.home


def _changes(timer: Unit, service: Unit, *, persistent: bool) -> Iterator[str]:
    if persistent:
        yield "each run that was missed is made up for, where systemd made up for one"
    left = [
        name.partition(".")[2]
        for unit in (timer, service)
        for name in unit.values
        if not name.startswith(("Install.", "X-")) and name not in _WITHOUT_SAYING
    ]
    outputs = [service.last(f"Service.Standard{name}") for name in ("Output", "Error")]
    left += [f"output to {each}" for each in outputs if each.startswith(_TO_FILES)]
    if left:
        yield f"without counterpart: {', '.join(dict.fromkeys(left))}"
