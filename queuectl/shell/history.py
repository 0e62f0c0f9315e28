"""What was typed, kept in the home without secrets."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

from prompt_toolkit.history import FileHistory

from queuectl.domain.errors import QueuectlError, StoreUnavailable
from queuectl.domain.text import ADDRESS_WITH_PASSWORD
from queuectl.domain.views import looks_secret
from queuectl.system.home import Home, open_private

_HOOK_URL = re.compile(r"\bhook\b.*\s--url[\s=]")
_NAMED_VALUE = re.compile(r"([\w-]+)[\"']?\s*[=:]")


class PrivateHistory(FileHistory):
    """What was typed, in a file of mode 0600, without lines that hold a secret.

    Where the file cannot be read or written (a home that is away, full or read-only), what is
    typed is kept for this session alone: no line fails for it. A home that is missing is made by
    a command that writes, and not for this file; what was typed until then follows.
    """

    def __init__(self, home: Home) -> None:
        super().__init__(str(home.history_file))
        self._home = home
        self._file = home.history_file
        self._unsaved: list[str] = []
        if home.root.is_dir():
            with contextlib.suppress(StoreUnavailable):
                self._touch()

    def load_history_strings(self) -> Iterable[str]:
        """Return what was typed before, the latest first."""
        try:
            return super().load_history_strings()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Append a line, unless it looks as if it held a secret."""
        if holds_secret(string):
            return
        self._unsaved.append(string)
        self.save()

    def save(self) -> None:
        """Write what was typed before there was a home, if there is one now."""
        if not (self._unsaved and self._home.root.is_dir()):
            return
        with contextlib.suppress(OSError, QueuectlError):
            self._touch()
            for line in self._unsaved:
                super().store_string(line)
        self._unsaved = []

    def _touch(self) -> None:
        """Make the file if it is missing. Raises StoreRefused for a link."""
        os.close(open_private(self._file, os.O_WRONLY | os.O_APPEND))


def holds_secret(line: str) -> bool:
    """Whether a line has an address with a password or of a hook, or sets a telling variable."""
    if re.search(ADDRESS_WITH_PASSWORD, line) or _HOOK_URL.search(line):
        return True
    return any(looks_secret(found.group(1)) for found in _NAMED_VALUE.finditer(line))
