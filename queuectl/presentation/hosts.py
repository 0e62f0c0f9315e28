"""Hosts as tables and JSON show them."""

from __future__ import annotations

from typing import Any

from queuectl.domain.times import iso, iso_or_none
from queuectl.presentation.status import worker_as_dict
from queuectl.presentation.tables import Clock, Column
from queuectl.queue.hosts import HostView

_STYLES = {"up": "green", "draining": "yellow", "drained": "yellow", "vanished": "red"}
_NEGLIGIBLE_SECONDS = 0.05
_FEW = 3
_LAST, _LATE, _SOON, _FIRST = 1, 2, 3, 4
"""How readily a column gives way on a narrow terminal."""


def host_columns(clock: Clock) -> list[Column[HostView]]:
    """Return the columns of a listing of hosts."""
    return [
        Column("HOST", lambda host: host.name),
        Column("STATE", lambda host: host.state, style=lambda host: _STYLES.get(host.state, "")),
        Column("WORKERS", lambda host: str(len(host.workers))),
        Column("SLOTS", lambda host: f"{len(host.jobs)} of {host.slots}", yields=_LAST),
        Column("LOAD", _load, yields=_LATE),
        Column("RESOURCES", _resources, optional=True, yields=_LATE),
        Column("CLOCK", _clock_text, yields=_FIRST),
        Column("VERSION", lambda host: ", ".join(host.versions), yields=_SOON),
        Column("LAST SEEN", lambda host: clock.around(host.last_seen), yields=_LATE),
        Column("JOBS", lambda host: _ids(host.jobs)),
        Column("TAKEN BACK", lambda host: _taken_back(host, clock), optional=True),
    ]


def _load(host: HostView) -> str:
    report = host.latest.report if host.latest else None
    if report is None or report.load is None:
        return ""
    return f"{report.load:.1f} of {report.processors}"


def _clock_text(host: HostView) -> str:
    """Return by how much the clock of a host is ahead of the store's: `+1.5 s`, `0 s`."""
    report = host.latest.report if host.latest else None
    if report is None:
        return ""
    offset = report.clock_offset
    return f"{offset:+.1f} s" if abs(offset) >= _NEGLIGIBLE_SECONDS else "0 s"


def _resources(host: HostView) -> str:
    return ", ".join(f"{view.name} {view.in_use}" for view in host.resources)


def _ids(ids: tuple[str, ...]) -> str:
    more = len(ids) - _FEW
    return ", ".join(ids[:_FEW]) + (f" +{more}" if more > 0 else "")


def _taken_back(host: HostView, clock: Clock) -> str:
    if not host.losses:
        return ""
    last = host.losses[-1]
    more = f" and {len(host.losses) - 1} more" if len(host.losses) > 1 else ""
    return f"{last.job_id}{more} {clock.around(last.at)}: {last.why}"


def host_as_dict(host: HostView) -> dict[str, Any]:
    """Return a host as `--json` prints it; what no worker of it has told is null."""
    report = host.latest.report if host.latest else None
    return {
        "name": host.name,
        "state": host.state,
        "drained_at": iso_or_none(host.drained_at),
        "last_seen": iso_or_none(host.last_seen),
        "versions": list(host.versions),
        "processors": report.processors if report else None,
        "load": report.load if report else None,
        "clock_offset": report.clock_offset if report else None,
        "slots": host.slots,
        "jobs": list(host.jobs),
        "workers": [worker_as_dict(each) for each in host.workers],
        "silent_workers": [each.id for each in host.silent],
        "resources": [
            {
                "name": view.name,
                "capacity": view.capacity or None,
                "in_use": view.in_use.partition(" of ")[0],
            }
            for view in host.resources
        ],
        "taken_back": [
            {"job": each.job_id, "worker": each.worker, "at": iso(each.at), "why": each.why}
            for each in host.losses
        ],
    }
