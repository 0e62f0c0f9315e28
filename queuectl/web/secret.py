"""The secret that logs in: read from a file, or made there on first use."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from queuectl.cli.session import print_hint
from queuectl.domain.errors import InvalidInput
from queuectl.system.home import Home, cannot, open_private

FEWEST = 16
"""The shortest token that is accepted; those that are made here have 43 characters."""

_MOST = 4096


def own_token(home: Home) -> str:
    """Return the token of a home, made on first use. Raises what opening files raises."""
    path = home.token_file
    if not path.exists():
        descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "w") as file:
            if not os.fstat(descriptor).st_size:
                file.write(secrets.token_urlsafe(32) + "\n")
    if path.is_symlink():
        raise InvalidInput(f"{path} is a symbolic link, which is not followed", hint="remove it")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InvalidInput(f"others can read {path}", hint=f"chmod 600 {path}")
    return read_token(path)


def named_token(path: Path) -> str:
    """Return the token in a file that the user names. Raises InvalidInput."""
    found = read_token(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        print_hint(f"others can read {path}: chmod o= {path}")
    return found


def read_token(path: Path) -> str:
    """Return the one line of a file. Raises InvalidInput where it cannot be a token."""
    try:
        with path.open("rb") as file:
            found = file.read(_MOST).decode().strip()
    except OSError as fault:
        raise cannot("read", path, fault) from fault
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not text") from None
    if len(found) < FEWEST or not found.isprintable() or not found.isascii():
        raise InvalidInput(
            f"{path} does not hold a token: one line of {FEWEST} characters or more",
            hint="python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
        )
    return found
