"""Text that is safe to show. Pure."""

from __future__ import annotations

import re

MASK = "********"
ADDRESS_WITH_PASSWORD = r"(://[^\s/@:]*:)[^\s@]+(?=@)"


def printable(text: str) -> str:
    """Return text on one line: control characters and the like written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def counted(number: int, noun: str) -> str:
    """Return how many there are of something, in words: `1 job`, `1,234 jobs`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def without_passwords(text: str) -> str:
    """Return text whose addresses (`scheme://user:password@host`) show no password."""
    return re.sub(ADDRESS_WITH_PASSWORD, rf"\1{MASK}", text) if "://" in text else text


def text_alone(data: bytes) -> bytes:
    """Return lines of the log of a terminal without colours, and what progress bars wrote over."""
    colorless = re.sub(rb"\x1b\[[\d;:]*[mK]", b"", data)
    return re.sub(rb"[^\n]*\r(?=[^\n])", b"", colorless).replace(b"\r", b"")
