"""Captured environments: a caller's variables, stored once under the name of their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import check_env
from queuectl.system.home import STORE_VARIABLES, read_env_file

Variables = tuple[tuple[str, str], ...]

_NOT_CAPTURED = frozenset({*STORE_VARIABLES, "_", "SHLVL", "OLDPWD", "PWD"})
"""The store's address, which jobs never get, and what a shell sets anew for every command."""

_OURS = "QUEUECTL_"


def capture(environ: Mapping[str, str]) -> Variables:
    """Return the variables to store, in order of their names.

    What is not text, or larger than a process can be given, is left out.
    """
    kept: list[tuple[str, str]] = []
    for name, value in sorted(environ.items()):
        if name in _NOT_CAPTURED or name.startswith(_OURS):
            continue
        try:
            kept.extend(check_env("env", {name: value}))
        except InvalidInput:
            continue
    return tuple(kept)


def name_of(variables: Iterable[tuple[str, str]]) -> str:
    """Return the name that the content of an environment gives it."""
    import json
    from hashlib import sha256

    text = json.dumps(sorted([name, value] for name, value in variables))
    return sha256(text.encode()).hexdigest()[:32]


def read_file(path: str) -> dict[str, str]:
    """Return the variables of a file in the format of `.env`. Raises InvalidInput."""
    if not Path(path).is_file():
        raise InvalidInput(f"env_file {path} is not a file")
    _require_readable(Path(path))
    return read_env_file(Path(path))


def _require_readable(path: Path) -> None:
    """Refuse a file with a line that would be left out; the line is not shown, it may be secret."""
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8") as file:
            bad = next((each.original.line for each in parse_stream(file) if each.error), None)
    except (OSError, UnicodeDecodeError):
        return  # which reading it tells better
    if bad is not None:
        raise InvalidInput(f"{path}:{bad}: this is not NAME=VALUE", hint="correct the line")
