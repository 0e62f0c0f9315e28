"""Whose files these are, and who else can get at them. On Windows nothing is asked."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from queuectl.domain.errors import InvalidInput
from queuectl.domain.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_HAS_OWNERS = hasattr(os, "geteuid")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BELIEVED = ".env"
"""The file that may be root's: what root writes there is believed."""

_WRITTEN = ("queue.db", "workers.", "history")
"""How the files begin that are written again and again."""


def require_trusted(path: str) -> None:
    """Raise InvalidInput for a `.env` that others can write.

    Whoever can write it decides where jobs, and with them commands, come from.
    """
    if not _HAS_OWNERS:
        return
    trusted = (os.geteuid(), 0)
    is_ours = all(found.st_uid in trusted for found in (os.lstat(path), os.stat(path)))
    if not is_ours or os.stat(path).st_mode & stat.S_IWOTH:
        raise InvalidInput(
            f"{path} names the store or home, and others can write it",
            hint="make it your own and chmod o-w it, or name home and store by options",
        )


def refuse_strangers(found: str) -> None:
    """Raise InvalidInput for a home, found on the way up, that is not the user's own.

    It decides what runs.
    """
    if not _HAS_OWNERS:
        return
    refuse_root(found)
    if os.stat(found).st_uid != os.geteuid():
        raise InvalidInput(
            f"{found} belongs to another user", hint="name a home with --home or QUEUECTL_HOME"
        )


def mode_at(path: str | Path) -> int:
    """Return the mode of what is at a path, 0 where there is nothing.

    Raises OSError where that cannot be seen, so that no home is passed over.
    """
    try:
        return os.stat(path).st_mode
    except OSError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def upward(path: str) -> Iterator[str]:
    """Yield an absolute path, and every directory above it."""
    above = os.path.dirname(path)
    while above != path:
        yield path
        path, above = above, os.path.dirname(above)
    yield path


def refuse_root(path: str) -> None:
    """Raise InvalidInput for root in another user's home, or where one would be made.

    That user could not write what root makes there, and root's workers would run that user's
    jobs as root.
    """
    if not _HAS_OWNERS or os.geteuid() != 0:
        return
    at = next((each for each in upward(path) if os.path.exists(each)), path)
    owner = os.stat(at).st_uid if os.path.exists(at) else 0
    if owner:
        name = user_name(owner)
        word = f"'#{name}'" if name.isdigit() else name
        place = path if at == path else f"{path} would be in {at}, which"
        raise InvalidInput(
            f"{place} belongs to user {name}, and root is kept out of there",
            hint=f"sudo -u {word} queuectl …, or name a home of root's with --home",
        )


def user_name(uid: int) -> str:
    """Return a user's name; the number of one without a name."""
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def own_name() -> str:
    """Return the name of the user who runs this; empty where there are no owners."""
    return user_name(os.geteuid()) if _HAS_OWNERS else ""


def own_directory() -> str:
    """Return the home directory that passwd, or Windows, has for the user who runs this.

    Raises RuntimeError where there is none.
    """
    if not _HAS_OWNERS:
        return os.path.expanduser("~")  # does not look at HOME there
    import pwd

    try:
        found = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        found = ""
    if not found:
        raise RuntimeError("this user has no entry in passwd")
    return found


@frozen
class Access:
    """What is not as it should be: files of others, open to others, and closed to their owner."""

    strange: list[Path]
    open: list[Path]
    closed: list[Path]


def access_to(root: Path, inner: Iterable[Path]) -> Access:
    """Look at a directory, and at paths with all that is below them.

    Links and what is gone are left out.
    """
    access = Access([], [], [])
    me = os.geteuid() if _HAS_OWNERS else 0
    for path, found in (*_walk([root], deep=False), *_walk(inner)):
        is_believed = found.st_uid == 0 and path.name == _BELIEVED
        if _HAS_OWNERS and found.st_uid != me and not is_believed:
            access.strange.append(path)
        elif ~found.st_mode & _needed(path, found.st_mode):
            access.closed.append(path)
        if found.st_mode & _OTHERS:
            access.open.append(path)
    return access


def _needed(path: Path, mode: int) -> int:
    """Return the bits of a mode without which its owner cannot work with it."""
    if stat.S_ISDIR(mode):
        return stat.S_IRWXU
    return stat.S_IRUSR | stat.S_IWUSR if path.name.startswith(_WRITTEN) else 0


def _walk(roots: Iterable[Path], *, deep: bool = True) -> Iterator[tuple[Path, os.stat_result]]:
    left = list(roots)[::-1]
    while left:
        path = left.pop()
        try:
            found = path.lstat()
        except OSError:
            continue  # gone meanwhile, or in a directory that was told of
        if stat.S_ISLNK(found.st_mode):
            continue
        yield path, found
        if deep and stat.S_ISDIR(found.st_mode):
            with contextlib.suppress(OSError):
                left += sorted(path.iterdir(), reverse=True)
