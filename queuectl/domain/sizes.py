"""Amounts of memory: from what a person writes, and as people read them.

K, M, G and T are powers of 1024, as in Slurm, systemd and docker.
"""

from __future__ import annotations

import re

from queuectl.domain.errors import InvalidInput, shown

KIB = 1024
MIB = KIB * KIB
UNITS = {"": 1, "K": KIB, "M": MIB, "G": KIB**3, "T": KIB**4}
_SIZE = r"(\d+(?:\.\d+)?)\s*(?:([KMGT])I?B?|B)?"
_TOO_MUCH = 2**62
_FEW, _NEARLY = 9.95, 999.5
"""Up to here a number has a fraction; and from here on it takes the next unit."""


def parse_size(name: str, raw: object) -> int:
    """Return the bytes that are meant by `2G`, `512M`, `1.5GB`, `2GiB`, or a number of bytes.

    Raises InvalidInput, which names the field.
    """
    size = -1.0
    if isinstance(raw, str):
        if found := re.fullmatch(_SIZE, raw.strip().upper(), re.ASCII):
            size = float(found[1]) * UNITS[found[2] or ""]
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool):
        size = float(raw)
    if 0 <= size < _TOO_MUCH:
        return int(size)
    raise InvalidInput(f"{name} {shown(raw)} is not a size", hint="for example 512M, 2G or 1.5G")


def size_text(size: float) -> str:
    """Return an amount of memory as people read it: `640 KB`, `1.5 GB`, `2 GB`."""
    number, unit = size / KIB, "KB"
    for letter in "MGT":
        if number < _NEARLY:
            break
        number, unit = number / KIB, f"{letter}B"
    digits = f"{number:.1f}".removesuffix(".0") if number < _FEW else f"{number:.0f}"
    return f"{digits} {unit}"
