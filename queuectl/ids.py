"""Random identifiers."""

from __future__ import annotations

import os

_ALPHABET = b"0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH = 12
PREFIX_LENGTH = 4
"""The shortest prefix that may stand for an id that was made for the user."""


def new_job_id() -> str:
    """Return 12 characters with 60 random bits, easy to type and beginning with a letter."""
    letters = bytes(_ALPHABET[byte & 31] for byte in os.urandom(_ID_LENGTH - 1))
    first = _ALPHABET[10 + os.urandom(1)[0] % 22]
    return chr(first) + letters.decode()


def new_token() -> str:
    """Return 96 random bits in hexadecimal: a claim's id, a call's token."""
    return os.urandom(12).hex()
