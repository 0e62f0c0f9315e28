"""Hiding a password, or a hook's address, that was typed from those who list processes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

_PASSWORD = rb"(?<=://)[^/\0]*:[^\0]*(?=@)"
_HOOK_URL = rb"(?<=--url[=\0])([a-z]+://[^/?#\0]*)([^\0]*)"
_ARGUMENTS_BEGIN, _ARGUMENTS_END = 45, 46
"""Where /proc/PID/stat says this, counted from its third field; see proc_pid_stat(5)."""


def hide_passwords(args: Sequence[str]) -> None:
    """Overwrite secrets of addresses in what the system shows of this process's arguments.

    They are passwords, and what follows the host in the address of a hook.

    Only Linux lets a process do so. What it forks inherits it; Python's own copy stays whole.
    """
    is_hook = any(word.partition("=")[0] == "--url" for word in args)
    if any("://" in word and (is_hook or "@" in word) for word in args):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _overwrite()


def _overwrite() -> None:
    text = Path("/proc/self/stat").read_bytes()
    fields = text[text.rindex(b")") + 2 :].split()
    begin, end = int(fields[_ARGUMENTS_BEGIN]), int(fields[_ARGUMENTS_END])
    memory = os.open("/proc/self/mem", os.O_RDWR)
    try:
        shown = os.pread(memory, end - begin, begin)
        hidden = re.sub(_PASSWORD, lambda found: b"*" * len(found[0]), shown)
        hidden = re.sub(_HOOK_URL, lambda found: found[1] + b"*" * len(found[2]), hidden)
        os.pwrite(memory, hidden, begin)
    finally:
        os.close(memory)
