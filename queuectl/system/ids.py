"""Random identifiers."""

from __future__ import annotations

import os
from collections.abc import Iterator

_ALPHABET = b"0123456789abcdefghjkmnpqrstvwxyz"
_CHARACTERS = bytes(_ALPHABET[byte & 31] for byte in range(256))
_LETTERS = bytes(_ALPHABET[10 + byte % 22] for byte in range(256))
"""What each random byte becomes: any character, or a letter."""

_ID_LENGTH = 12
PREFIX_LENGTH = 4
"""The shortest prefix that may stand for an id that was made for the user."""


def new_job_id() -> str:
    """Return 12 characters with 60 random bits, easy to type and beginning with a letter."""
    return next(new_job_ids(1))


def new_job_ids(at_once: int = 1000) -> Iterator[str]:
    """Yield such ids for ever; so many at once share one call of the system."""
    rest = _ID_LENGTH - 1
    while True:
        first = os.urandom(at_once).translate(_LETTERS).decode()
        others = os.urandom(at_once * rest).translate(_CHARACTERS).decode()
        for n in range(at_once):
            yield first[n] + others[n * rest : (n + 1) * rest]


def new_token() -> str:
    """Return 96 random bits in hexadecimal: a claim's id, a call's token."""
    return os.urandom(12).hex()


def new_batch_name() -> str:
    """Return a name for a batch that nobody named: `b-7f3k2m`, with 30 random bits."""
    return f"b-{os.urandom(6).translate(_CHARACTERS).decode()}"
