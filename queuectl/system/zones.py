"""Time zones by name, as the newer of two copies of the tz database has them.

One is the system's, the other is in the package `tzdata`. Python takes the system's first, however
old it is; here it is the one of the later version.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from queuectl.domain.errors import InvalidInput, nearest, shown
from queuectl.domain.times import UTC

NAMELESS = frozenset({"localtime", "posixrules", "Factory"})
"""Files beside those of zones that are none."""

_PREFIXES = ("posix/", "right/")
"""Where copies of all zones are; those under `right` count leap seconds, as no clock here does."""

_SECOND = timedelta(seconds=1)
_VERSION = re.compile(r"(?:# version )?(\d{4}[a-z]+)")
_VERSION_FILES = ("tzdata.zi", "+VERSION")


class TzData(NamedTuple):
    """The versions (`2026f`) of the system's copy and of the packaged one; None: not known."""

    system: str | None
    package: str | None

    @property
    def is_package(self) -> bool:
        """Whether the packaged one is in use: it is later, or the system's is not known."""
        return self.package is not None and self.package > (self.system or "")

    @property
    def in_use(self) -> str:
        """The version in use; empty where none is known."""
        return (self.package if self.is_package else self.system) or ""


@lru_cache(maxsize=1)
def tz_data() -> TzData:
    """Return which copies there are. A process keeps to what it has found first."""
    return TzData(_system_version(), _package_version())


def _system_version() -> str | None:
    from zoneinfo import TZPATH

    for file in (Path(place, name) for place in TZPATH for name in _VERSION_FILES):
        try:
            with file.open(encoding="ascii", errors="replace") as lines:
                found = _VERSION.match(lines.readline())
        except OSError:
            continue
        if found:
            return found.group(1)
    return None


def _package_version() -> str | None:
    from importlib.resources import files

    try:
        with files("tzdata").joinpath("zoneinfo", "tzdata.zi").open(encoding="ascii") as lines:
            found = _VERSION.match(lines.readline())
    except (ImportError, OSError):
        return None
    return found.group(1) if found else None


def check_zone(name: str) -> str:
    """Return the name of a time zone that is known. Raises InvalidInput, with the nearest."""
    zone_of(name)
    return name


def zone_of(name: str) -> tzinfo:
    """Return the zone of a name. Raises InvalidInput, with the nearest name."""
    if name == "UTC":
        return UTC
    is_copy = name.startswith(_PREFIXES)
    if is_copy or name in NAMELESS:
        raise InvalidInput(
            f"{shown(name)} is not the name of a time zone",
            hint=f"write {name.partition('/')[2]}" if is_copy else "for example Europe/Berlin",
        )
    try:
        return _zone(name)
    except (LookupError, OSError, ValueError):
        raise _unknown(name) from None


def _unknown(name: str) -> InvalidInput:
    zones = sorted(zone_names())
    same = [zone for zone in zones if zone.lower() == name.lower()]
    close = f" (did you mean '{same[0]}'?)" if same else nearest(name, zones)
    return InvalidInput(
        f"unknown time zone {shown(name)}{close}", hint="for example Europe/Berlin or UTC"
    )


@lru_cache(maxsize=1000)
def _zone(name: str) -> tzinfo:
    from io import BytesIO
    from zoneinfo import ZoneInfo

    if tz_data().is_package and name in _packaged_names():
        return ZoneInfo.from_file(BytesIO(packaged_file(name)), key=name)
    return ZoneInfo(name)


def packaged_file(name: str) -> bytes:
    """Return a file of the packaged copy, by its path there. Raises OSError."""
    from importlib.resources import files

    return files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


@lru_cache(maxsize=1)
def _packaged_names() -> frozenset[str]:
    from importlib.resources import files

    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def zone_names() -> frozenset[str]:
    """Return the names of all zones."""
    if tz_data().is_package:
        return _packaged_names() - NAMELESS
    from zoneinfo import available_timezones

    return frozenset(available_timezones()) - NAMELESS


def change_between(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the first second at which a zone has another offset than before, until `after`."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
