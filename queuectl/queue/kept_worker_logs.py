"""The logs of workers in the log store: each whole, packed, under its host, and for so long.

Which there are is known by name, so that nothing is noted on the host of what was sent.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from queuectl.stores.exchange import KeptRun
from queuectl.stores.run_logs import WORKERS
from queuectl.system.run_archive import pack_text, unpack_text
from queuectl.system.worker_logs import Trail, host_of_log, logs_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from queuectl.stores.components import RunLogs

_MILLIS = 1000


def keep_logs(
    place: RunLogs, folder: Path, is_wanted: Callable[[str], bool], oldest: float
) -> None:
    """Keep the logs in a folder that have changed since they were kept, but for old ones.

    `oldest` is in seconds since 1970. Raises StoreError.
    """
    by_host: defaultdict[str, list[tuple[str, list[Path]]]] = defaultdict(list)
    for name, paths in logs_of(folder).items():
        if is_wanted(name) and (host := host_of_log(name)):
            by_host[host].append((name, paths))
    for host, logs in by_host.items():
        kept = _versions(place, host)
        for name, paths in logs:
            with suppress(FileNotFoundError):  # it has made way, or was removed, just now
                written_at = paths[-1].stat().st_mtime
                version = int(written_at * _MILLIS)
                if written_at < oldest or version in kept.get(name, ()):
                    continue
                data = pack_text(f"{name}.log", Trail().read(paths, None))
                place.put([KeptRun(WORKERS + host, version, name, data)])
                older = [(each, name) for each in kept.get(name, ())]
                if older:
                    place.remove_runs(WORKERS + host, older)


def kept_logs(place: RunLogs, host: str) -> list[str]:
    """Return the names of the logs that are kept of a host, the one written to last first."""
    kept = _versions(place, host)
    return sorted(kept, key=lambda name: max(kept[name]), reverse=True)


def kept_log(place: RunLogs, name: str) -> bytes:
    """Return what is kept of a log; nothing where there is none. Raises StoreError."""
    host = host_of_log(name)
    for version in sorted(_versions(place, host).get(name, ()), reverse=True):
        data = place.get(WORKERS + host, version, name)
        if data is not None:  # else a newer one has replaced it just now
            return unpack_text(data)
    return b""


def forget_logs(place: RunLogs, before: float) -> None:
    """Remove the logs that were written to last before an instant, in seconds since 1970."""
    for folder in place.jobs_below(WORKERS):
        old = [run for run in place.runs(folder) if run[0] < before * _MILLIS]
        if old:
            place.remove_runs(folder, old)


def _versions(place: RunLogs, host: str) -> dict[str, list[int]]:
    """Return when each log of a host was written to, in milliseconds, as it is kept."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for version, name in place.runs(WORKERS + host):
        found[name].append(version)
    return found
