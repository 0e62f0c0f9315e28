"""A word to who names a working directory that is not there: another host may have it."""

from __future__ import annotations

import os

from queuectl.cli.session import print_hint

_MOST_TOLD = 10


def warn_if_missing(cwd: str | None, known: dict[str | None, bool], where: str = "") -> None:
    """Warn of a working directory that is none on this host; `where` names its place in a file.

    Each is looked at once: `known` says of those that were whether they are there.
    """
    if cwd in known:
        return
    known[cwd] = cwd is None or os.path.isdir(cwd)  # noqa: PTH112  # a str as the system takes it
    if known[cwd] or cwd is None:
        return
    told = sum(not is_there for is_there in known.values())
    if told > _MOST_TOLD:
        return
    place = f"{where}: " if where else ""
    what = "is no directory" if os.path.lexists(cwd) else "does not exist"
    print_hint(
        f"warning: {place}the working directory {cwd} {what} on this host; "
        "a worker that does not have it fails the job"
    )
    if told == _MOST_TOLD:
        print_hint("warning: nothing is said of further working directories that are missing")
