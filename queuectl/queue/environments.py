"""Captured environments: a caller's variables, stored once under the name of their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import check_env
from queuectl.domain.request import command_patterns
from queuectl.domain.views import looks_secret
from queuectl.system.home import STORE_VARIABLES, read_env_file

Variables = tuple[tuple[str, str], ...]

_NOT_CAPTURED = frozenset({*STORE_VARIABLES, "_", "SHLVL", "OLDPWD", "PWD"})
"""The store's address, which jobs never get, and what a shell sets anew for every command."""

_OURS = "QUEUECTL_"

_NAMES = f"{_OURS}CAPTURED_NAMES"
"""Stands among the variables of an environment of which only some were captured: by which patterns.

No variable of a caller has such a name, as those that begin so are never captured.
"""


def capture(environ: Mapping[str, str], names: str = "", *, secrets: bool = True) -> Variables:
    """Return the variables to store, in order of their names.

    With `names`, patterns with commas, only those that fit one of them; without `secrets` none
    whose name says that its value must not be shown. What is not text, or larger than a process
    can be given, is left out.
    """
    patterns = command_patterns(names)
    kept: list[tuple[str, str]] = []
    for name, value in sorted(
        {**environ, **({_NAMES: ",".join(patterns)} if patterns else {})}.items()
    ):
        if name != _NAMES and not _is_captured(name, patterns, secrets=secrets):
            continue
        try:
            kept.extend(check_env("env", {name: value}))
        except InvalidInput:
            continue
    return tuple(kept)


def _is_captured(name: str, patterns: tuple[str, ...], *, secrets: bool) -> bool:
    if name in _NOT_CAPTURED or name.startswith(_OURS):
        return False
    return (not patterns or _fits(name, patterns)) and (secrets or not looks_secret(name))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def over(variables: Variables, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that captured variables make, with the worker's own as its base.

    Where only some were captured by their names, all others are the worker's; what has such a name
    and the caller did not have, nobody has.
    """
    kept = dict(variables)
    names = kept.pop(_NAMES, None)
    if names is None:
        return kept
    patterns = command_patterns(names)
    return {**{n: value for n, value in base.items() if not _fits(n, patterns)}, **kept}


def are_some(variables: Variables) -> bool:
    """Whether only some variables of a caller were captured, by their names."""
    return any(name == _NAMES for name, _ in variables)


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
