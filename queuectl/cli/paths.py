"""The names of files that go on with what has been typed."""

from __future__ import annotations

import os
from pathlib import Path

from queuectl.domain.errors import InvalidInput
from queuectl.system.home import expanded

MOST = 200
"""No more names are offered at once."""


def beginning_with(typed: str, *, only_directories: bool = False) -> list[str]:
    """Return the paths that begin as typed, directories with a final slash; `~` is kept.

    Hidden files come only when the dot has been typed. What cannot be read is empty.
    """
    folder, name = typed[: typed.rfind("/") + 1], typed[typed.rfind("/") + 1 :]
    found: list[str] = []
    try:
        with os.scandir(expanded(Path(folder or "."))) as entries:
            for entry in entries:
                if not entry.name.startswith(name) or (entry.name[0] == "." and not name):
                    continue
                if entry.is_dir():
                    found.append(f"{folder}{entry.name}/")
                elif not only_directories:
                    found.append(f"{folder}{entry.name}")
    except (OSError, InvalidInput):  # InvalidInput: no home for ~
        return []
    return sorted(found)[:MOST]
