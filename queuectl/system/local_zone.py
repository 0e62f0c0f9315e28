"""The name of this machine's time zone: what `date` goes by, looked up among the zones with names.

It may have none of its own: `/etc/localtime` is a copy of a zone's file, or mounted, in most
containers, and TZ may be rules (`CET-1CEST,M3.5.0,M10.5.0/3`). A schedule needs a name, which is
known on other machines too, so the zone is taken that has the same rules.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.times import UTC
from queuectl.system import zones
from queuectl.system.zones import change_between, zone_of

LOCALTIME, TIMEZONE = Path("/etc/localtime"), Path("/etc/timezone")
"""The file of the local zone, and where some systems keep its name."""

_MARK = b"TZif"
_LINKS = 10
_REMEDY = "name it: --tz Europe/Berlin, or set TZ=Europe/Berlin"
_RULES = re.compile(
    r"(?P<name>[A-Za-z]{3,}|<[+\-\w]{3,}>)(?P<ahead>[-+]?\d[\d:]*)"
    r"(?P<summer>(?:[A-Za-z]{3,}|<[+\-\w]{3,}>)(?:[-+]?\d[\d:]*)?)?(?P<when>,.+)?"
)
_USUAL_RULE = ",M3.2.0,M11.1.0"
"""When it is summer where TZ does not say: as the C library has it."""

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_FIRST, _RECENT, _LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 2026, 2038))


_OF_UTC = ("UTC", "GMT", "UCT", "Z", "ZULU")
"""What TZ may say, in letters of either case, where UTC is meant."""


class LocalZone(NamedTuple):
    """The name of the local zone, and what to say of how it was found, if anything."""

    name: str
    note: str = ""


def local_zone() -> LocalZone:
    """Return the local zone. Raises InvalidInput, with the remedy, where no name fits."""
    value = os.environ.get("TZ")
    if value is None:
        return _of_file(LOCALTIME)
    value = value.removeprefix(":")
    if value.startswith("/"):
        return _of_file(Path(value))
    return _of_variable(value)


def first_difference(now: datetime) -> tuple[str, datetime] | None:
    """Return the local zone and an instant of the year to come at which clocks here show another
    time than the tz data in use have for it: those of the system are older. None: there is none.
    """
    try:
        name = local_zone().name
    except InvalidInput:
        return None
    zone = zone_of(name)
    for instant in (now + days * _DAY for days in range(366)):
        if instant.astimezone().utcoffset() != instant.astimezone(zone).utcoffset():
            return name, instant
    return None


def _of_variable(value: str) -> LocalZone:
    """Return the zone that TZ names, or of which it has the rules; if it is empty, UTC."""
    name = _named(value or "UTC")
    if name is not None:
        return LocalZone(name)
    rules = _RULES.fullmatch(value)
    if rules is None:
        raise InvalidInput(f"TZ={shown(value)} names no time zone", hint=_REMEDY)
    when = rules["when"] or (_USUAL_RULE if rules["summer"] else "")
    try:
        zone = _from_rules(f"{rules['name']}{rules['ahead']}{rules['summer'] or ''}{when}")
    except ValueError:
        raise InvalidInput(f"TZ={shown(value)} cannot be read", hint=_REMEDY) from None
    likely = [value.partition(",")[0], rules["name"]] if rules["summer"] else []
    found = _equal(zone, _RECENT, likely, whole=True)
    if found is None:
        raise InvalidInput(f"no time zone has the rules of TZ={shown(value)}", hint=_REMEDY)
    return LocalZone(found, f"TZ={value} is taken as {found}, which has the same rules")


def _from_rules(rules: str) -> tzinfo:
    """Return the zone that has always had the rules of a TZ variable. Raises ValueError."""
    from zoneinfo import ZoneInfo

    empty = struct.pack(">4sc15x6l", _MARK, b"2", 0, 0, 0, 0, 0, 0)
    header = struct.pack(">4sc15x6l", _MARK, b"2", 0, 0, 0, 0, 1, 4)
    standard = struct.pack(">lBB4s", 0, 0, 0, b"UTC\0")
    zone = ZoneInfo.from_file(BytesIO(empty + header + standard + f"\n{rules}\n".encode()))
    for month in (1, 7):  # an offset of a day and more is told only when it is asked for
        datetime(_RECENT.year, month, 1, tzinfo=zone).utcoffset()
    return zone


def _of_file(file: Path) -> LocalZone:
    """Return the zone that a file links to, else one that has its rules."""
    from zoneinfo import ZoneInfo

    if known := _linked_name(file):
        is_there = file.exists()
        lost = f"{file} leads nowhere, so `date` shows UTC; its name is {known}, which is taken"
        return LocalZone(known, "" if is_there else lost)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return LocalZone("UTC", f"this machine has no {file}, so its time zone is UTC")
    except OSError as fault:
        raise InvalidInput(f"cannot read {file}: {fault.strerror}", hint=_REMEDY) from None
    likely = [name for name in [_written_name()] if name]
    for name in likely:
        if _system_file(name) == content:
            return LocalZone(name)
    try:
        zone = ZoneInfo.from_file(BytesIO(content))
    except (ValueError, struct.error):
        raise InvalidInput(f"{file} is no file of a time zone", hint=_REMEDY) from None
    found = _same_file(content) or _equal(zone, _FIRST, likely) or _equal(zone, _RECENT, likely)
    if found is None:
        raise InvalidInput(f"no time zone has the rules of {file}", hint=_REMEDY)
    return LocalZone(found)


def misnamed_zone() -> str:
    """Return what TZ says if that is neither a zone nor rules of one; empty where it is."""
    value = os.environ.get("TZ", "").removeprefix(":")
    if not value or value.startswith(("/", "<")) or value.upper() in _OF_UTC:
        return ""
    is_known = _named(value) or _RULES.fullmatch(value) or _system_file(value)
    return "" if is_known else value


def differing_zone(instant: datetime) -> str | None:
    """Return the name of the local zone if the clock of this machine has another time then.

    `date` and the C library go by the system's tz data, which may be older than what is in use
    here. None: they agree, or the zone has no name.
    """
    if not zones.tz_data().is_package:
        return None
    value = os.environ.get("TZ", str(LOCALTIME)).removeprefix(":")
    name = _linked_name(Path(value)) if value.startswith("/") else _named(value)
    if name is None or instant.astimezone(zone_of(name)).utcoffset() == (
        instant.astimezone().utcoffset()
    ):
        return None
    return name


def _linked_name(file: Path) -> str | None:
    """Return the name of the zone whose file this is, or links to; None if there is none."""
    for path in _links(file):
        _, is_below, name = str(path).rpartition("zoneinfo/")
        if is_below and (known := _named(name)):
            return known
    return None


def _links(path: Path) -> Iterator[Path]:
    """Yield a path, and what it links to, link by link."""
    for _ in range(_LINKS):
        yield path
        try:
            path = Path(os.path.normpath(path.parent / path.readlink()))
        except OSError:  # no link
            return


def _named(name: str) -> str | None:
    """Return the name of a zone as schedules have it, or None if it is none."""
    try:
        name = name.removeprefix("posix/")
        zone_of(name)
    except InvalidInput:
        return None
    return "UTC" if name in ("Etc/UTC", "UTC0") else name


def _written_name() -> str | None:
    try:
        return _named(TIMEZONE.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None


def _system_file(name: str) -> bytes | None:
    """Return the file that the system's copy of the tz database has of a zone."""
    from zoneinfo import TZPATH

    for place in TZPATH:
        try:
            return Path(place, name).read_bytes()
        except OSError:
            continue
    return None


def _same_file(content: bytes) -> str | None:
    """Return the zone of which the system's copy has the same file, an old one perhaps."""
    return next((name for name in _in_order() if _system_file(name) == content), None)


def _in_order(*, whole: bool = False) -> list[str]:
    """Return all names, those first that stand for a place of their own.

    With `whole`, names of offsets alone (`Etc/GMT-2`) come before them.
    """
    places = dict.fromkeys(_places())
    others = sorted(name for name in zones.zone_names() if name not in places)
    offsets = [name for name in others if name.startswith("Etc/")]
    others = [name for name in others if not name.startswith("Etc/")]
    return ["UTC", *(offsets if whole else ()), *places, *others, *(() if whole else offsets)]


def _places() -> Sequence[str]:
    """Return the zones of the table of places, sorted."""
    try:
        table = (_system_file("zone1970.tab") or zones.packaged_file("zone1970.tab")).decode()
    except (OSError, ImportError):
        return ()
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    known = zones.zone_names()
    return sorted({row[2] for row in rows if len(row) > 2 and row[2] in known})


def _equal(
    zone: tzinfo, since: datetime, likely: Sequence[str], *, whole: bool = False
) -> str | None:
    """Return the first zone with the same time as another's, from an instant until 2038.

    Those that are likely are looked at first. With `whole`, of the others one comes before that
    has the same abbreviations too (BST: Europe/London), as its rules will be the same tomorrow.
    """
    instants = list(_instants(zone, since))
    expected = [instant.astimezone(zone).utcoffset() for instant in instants]
    same: list[str] = []
    for name in [*filter(_named, likely), *_in_order(whole=whole)]:
        other = zone_of(name)
        if all(
            instant.astimezone(other).utcoffset() == offset
            for instant, offset in zip(instants, expected, strict=True)
        ):
            if not whole or name in likely:
                return name
            same.append(name)
    year = [_RECENT + _DAY * day for day in range(0, 365, 30)]
    called = [instant.astimezone(zone).tzname() for instant in year]
    return next(
        (
            name
            for name in same
            if called == [each.astimezone(zone_of(name)).tzname() for each in year]
        ),
        same[0] if same else None,
    )


def _instants(zone: tzinfo, since: datetime) -> Iterator[datetime]:
    """Yield an instant of every day, and the last ones before and the first ones of each change."""
    instant = since
    while instant < _LAST:
        yield instant
        after = instant + _DAY
        if instant.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            change = change_between(zone, instant, after)
            yield from (change - _SECOND, change)
        instant = after
