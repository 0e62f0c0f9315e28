"""What was typed, kept in the home without secrets."""

from __future__ import annotations

import os
import re

from prompt_toolkit.history import FileHistory

from queuectl.domain.view import looks_secret
from queuectl.home import Home, open_private

_PASSWORD_IN_ADDRESS = re.compile(r"://[^\s/@]*:[^\s@]+@")
_NAMED_VALUE = re.compile(r"([\w-]+)[\"']?\s*[=:]")


class PrivateHistory(FileHistory):
    """What was typed, in a file of mode 0600, without lines that hold a secret."""

    def __init__(self, home: Home) -> None:
        home.make()
        os.close(open_private(home.history_file, os.O_WRONLY | os.O_APPEND))
        super().__init__(str(home.history_file))

    def store_string(self, string: str) -> None:
        """Append a line, unless it looks as if it held a secret."""
        if not holds_secret(string):
            super().store_string(string)


def holds_secret(line: str) -> bool:
    """Whether a line has an address with a password, or sets a variable whose name tells."""
    if _PASSWORD_IN_ADDRESS.search(line):
        return True
    return any(looks_secret(found.group(1)) for found in _NAMED_VALUE.finditer(line))
