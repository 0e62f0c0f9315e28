"""The home: where queuectl keeps its files on this machine, and which store is meant.

Every command passes through this, so paths are plain text here and `pathlib` is not imported: that
takes a tenth of the time of a whole command.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING

from queuectl.domain.errors import InvalidInput, StoreRefused, StoreUnavailable
from queuectl.domain.frozen import frozen
from queuectl.system.file_access import (
    mode_at,
    own_directory,
    refuse_root,
    refuse_strangers,
    require_trusted,
    upward,
)
from queuectl.system.store_url import is_mongo, sqlite_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DIRECTORY_NAME = ".queuectl"
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
_OWN_NAMES = (
    "queue.db", "workers.", "history", "dashboard.token", "logs", "results", "sockets", "terminals",
    "edit-", "snapshots", "checkouts", "signing.", "trusted-keys", ".env",
)  # fmt: skip
"""How the names of what is in a home begin."""

STORE_VARIABLES = ("QUEUECTL_STORE", "MONGO_URI")
"""The environment variables that hold a store's address; jobs never inherit them."""

SIGNING_VARIABLES = ("QUEUECTL_SIGNING_KEY", "QUEUECTL_REQUIRE_SIGNED")
"""What names the key that signs jobs, and has workers run signed ones alone."""

_STORE, _PIDS = "queue.db", "workers.pid"

_IS_LINUX = sys.platform == "linux"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


class Home:
    """Paths below one home directory. Nothing is made before `make`."""

    __slots__ = ("directory",)

    SIGNING_KEY, REQUIRE_SIGNED = "signing.key", "signing.required"

    def __init__(self, root: str | Path) -> None:
        self.directory = os.fspath(root)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Home) and other.directory == self.directory

    def __hash__(self) -> int:
        return hash(self.directory)

    def __repr__(self) -> str:
        return f"Home({self.directory!r})"

    @property
    def root(self) -> Path:
        """The directory itself."""
        from pathlib import Path

        return Path(self.directory)

    @property
    def store_file(self) -> Path:
        """The embedded store."""
        return self.root / _STORE

    @property
    def pid_file(self) -> Path:
        """The list of this home's workers."""
        return self.root / _PIDS

    @property
    def scale_file(self) -> Path:
        """How many workers were declared for this home."""
        return self.root / "workers.scale"

    @property
    def slots_file(self) -> str:
        """The file in which workers lock the numbers of the slots that jobs of batches run in."""
        return os.path.join(self.directory, "workers.slots")

    def misses_processes(self) -> bool:
        """Whether a process that `pid_file` names is gone; a quick look, for Linux alone."""
        try:
            with open(os.path.join(self.directory, _PIDS)) as file:
                words = file.read().split('"pid": ')[1:]
        except (OSError, ValueError):
            return False
        return _IS_LINUX and any(_is_gone(word.partition(",")[0]) for word in words)

    def has_lost_pid_file(self) -> bool:
        """Whether there have been workers, and the file that would name them is not there."""
        lock, pids = (os.path.join(self.directory, name) for name in ("workers.lock", _PIDS))
        return os.path.exists(lock) and not os.path.exists(pids)

    @property
    def history_file(self) -> Path:
        """What was typed in the shell."""
        return self.root / "history"

    @property
    def token_file(self) -> Path:
        """The secret that logs in to the dashboard."""
        return self.root / "dashboard.token"

    @property
    def tokens(self) -> Path:
        """The directory of the named tokens of the dashboard."""
        return self.root / "dashboard.tokens"

    @property
    def signing_key(self) -> str:
        """The file of the key that signs jobs here: the one that the environment names, or ours."""
        named = os.environ.get(SIGNING_VARIABLES[0])
        return named or os.path.join(self.directory, self.SIGNING_KEY)

    def has_signing_key(self) -> bool:
        """Whether jobs are to be signed here; a named one has to be there."""
        return bool(os.environ.get(SIGNING_VARIABLES[0])) or os.path.exists(self.signing_key)

    @property
    def trusted_keys(self) -> Path:
        """The directory of the public keys that workers trust, a file each."""
        return self.root / "trusted-keys"

    def requires_signed(self) -> bool:
        """Whether workers run signed jobs alone."""
        is_told = os.environ.get(SIGNING_VARIABLES[1], "0") not in ("", "0")
        return is_told or os.path.lexists(os.path.join(self.directory, self.REQUIRE_SIGNED))

    @property
    def logs(self) -> Path:
        """Logs of workers and jobs."""
        return self.root / "logs"

    @property
    def worker_logs(self) -> Path:
        """One log file a supervisor."""
        return self.logs / "workers"

    @property
    def job_logs(self) -> Path:
        """One directory a job, in it `RUN.out`, `RUN.err`, and their order in `RUN.order`."""
        return self.root.joinpath("logs", "jobs")

    @property
    def results(self) -> str:
        """The directory in which runs leave their results, until they have ended."""
        return os.path.join(self.directory, "results")

    @property
    def snapshots(self) -> Path:
        """Which jobs need which snapshots of work trees."""
        return self.root / "snapshots"

    @property
    def checkouts(self) -> Path:
        """Where jobs run that name a snapshot."""
        return self.root / "checkouts"

    @property
    def sockets(self) -> str:
        """The directory of the sockets through which people talk to runs."""
        return os.path.join(self.directory, "sockets")

    def entries(self) -> list[Path]:
        """Return what is in the home and queuectl's; a home may hold other things too."""
        try:
            found = sorted(self.root.iterdir())
        except OSError:
            return []
        return [path for path in found if path.name.startswith(_OWN_NAMES)]

    def make(self) -> None:
        """Make the home if it is missing. Raises StoreUnavailable when that cannot be done."""
        private_directory(self.directory, parents=True)


@frozen
class Location:
    """A home, and the address of the store that goes with it (may hold a password)."""

    home: Home
    store_url: str

    @property
    def is_store_inside(self) -> bool:
        """Whether the store is the home's own, and no other that was named."""
        return self.store_url == os.path.join(self.home.directory, _STORE)

    def __repr__(self) -> str:
        return f"Location({self.home.directory!r})"


def find_location(
    home: str | None = None,
    store: str | None = None,
    *,
    search: bool = True,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> Location:
    """Return the home and store that options, environment and `.env` files mean.

    An option comes before the environment, that before `.env` in the working directory, that
    before `.env` in the home. Without any of them the home is the nearest `.queuectl` upward,
    else the user's data directory, and the store is `queue.db` in it. Without `search` the home
    is `.queuectl` in the working directory, there or not.

    Raises InvalidInput where none can be found, and for root in the home of another user.
    """
    cwd = os.fspath(cwd or _known_directory())
    variables = os.environ if environ is None else environ
    named_home = home or variables.get("QUEUECTL_HOME", "") or _from_file(cwd, ("QUEUECTL_HOME",))
    found = Home(_home_path(named_home, cwd, search=search))
    refuse_root(found.directory)
    url = store or _first(variables, STORE_VARIABLES)
    for directory in (cwd, found.directory):
        url = url or _from_file(directory, STORE_VARIABLES)
    return Location(found, _absolute(url, cwd) if url else os.path.join(found.directory, _STORE))


def _first(variables: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the first value that is not empty."""
    return next((variables[name] for name in names if variables.get(name)), "")


def _from_file(directory: str, names: Sequence[str]) -> str:
    """Return the first value in a directory's `.env`. Raises InvalidInput for a stranger's file."""
    path = os.path.join(directory, ".env")
    value = _first(read_env_file(path), names)
    if value:
        require_trusted(path)
    if "\0" in value:
        raise InvalidInput(f"{path} holds a NUL byte", hint="correct it or remove it")
    return value


def working_directory(named: str | None = None) -> str:
    """Return the working directory, or the absolute one that is named in its stead.

    Raises InvalidInput when it has been removed.
    """
    if named and named.startswith("/"):
        return named
    try:
        return os.getcwd()
    except OSError:
        raise _no_directory() from None


def _no_directory() -> InvalidInput:
    return InvalidInput(
        "the working directory does not exist any more", hint="go to one that does: cd DIR"
    )


def _known_directory() -> str:
    """Return the working directory, or where it was before it was removed."""
    try:
        return os.getcwd()
    except OSError:
        pass
    try:
        return os.readlink("/proc/self/cwd").removesuffix(" (deleted)")
    except OSError:
        shown = os.environ.get("PWD", "")
        return shown if shown.startswith("/") else "/"


def _below(cwd: str, path: str) -> str:
    """Return a path made absolute. Raises InvalidInput when that is where nothing is any more."""
    if not os.path.isabs(path) and not stat.S_ISDIR(mode_at(cwd)):
        raise _no_directory()
    return _without_climbs(os.path.join(cwd, path))


def _without_climbs(path: str) -> str:
    """Return a path without `..`, with the links before the last of them followed.

    Else what is looked at, while a part before `..` is missing, is not what would be made.
    """
    parts = path.split(os.sep)
    if ".." in parts:
        after = len(parts) - parts[::-1].index("..")
        path = os.path.join(os.path.realpath(os.sep.join(parts[:after])), *parts[after:])
    return os.path.normpath(path)


def expanded(path: str) -> str:
    """Return a path with `~` and `~user` replaced. Raises InvalidInput for one without a home.

    An empty HOME counts as absent.
    """
    if not path.startswith("~"):
        return path
    user, _, rest = path.partition(os.sep)
    try:
        is_absent = user == "~" and os.environ.get("HOME") == ""
        home = own_directory() if is_absent else os.path.expanduser(user)
    except RuntimeError:
        home = user
    if not home.startswith("~"):
        return os.path.join(home, rest.lstrip(os.sep))
    if user != "~":
        raise InvalidInput(f"there is no user '{user[1:]}'")
    raise InvalidInput(
        "no home directory is known: HOME is not set, and this user has no entry in passwd",
        hint="name a home with --home DIR or QUEUECTL_HOME",
    )


def _home_path(named: str, cwd: str, *, search: bool) -> str:
    if named:
        return _below(cwd, expanded(named))
    if not search:
        return _below(cwd, DIRECTORY_NAME)
    for directory in upward(cwd):
        candidate = os.path.join(directory, DIRECTORY_NAME)
        if stat.S_ISDIR(mode_at(candidate)):
            refuse_strangers(candidate)
            return candidate
    return _without_climbs(os.path.join(cwd, _data_directory()))


def _data_directory() -> str:
    """Return the user's data directory for queuectl. Raises InvalidInput where there is none.

    On Linux it is spelled out, by the XDG base directory specification: importing platformdirs
    takes a sixth of the time of a whole command.
    """
    if _IS_LINUX:
        base = os.environ.get("XDG_DATA_HOME", "")
        chosen = base if base.startswith("/") else "~/.local/share"
        return os.path.join(expanded(chosen), "queuectl")
    from platformdirs import user_data_dir

    return user_data_dir("queuectl", appauthor=False)


def _absolute(url: str, cwd: str) -> str:
    """Return an address that means the same from every directory."""
    if is_mongo(url):
        return url
    path = _below(cwd, expanded(sqlite_path(url)))
    refuse_root(path)
    return path


def read_env_file(path: str | Path) -> dict[str, str]:
    """Return the variables of a `.env` file; none when there is no such file.

    Raises StoreUnavailable when it cannot be read, InvalidInput when it is not text.
    """
    try:
        if not stat.S_ISREG(mode_at(path)):
            return {}
        from dotenv import dotenv_values

        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except OSError as fault:
        raise cannot("read", path, fault) from fault
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text", hint="correct it or remove it") from None


def private_directory(path: str | Path, *, parents: bool = False) -> None:
    """Make a directory of mode 0700 whatever the umask; an existing one is taken as it is.

    Raises StoreRefused when a symbolic link or a file is in its place (the last part of the
    path, unless `parents`), StoreUnavailable when it cannot be made.
    """
    try:
        if parents:
            os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
        os.mkdir(path, DIRECTORY_MODE)
        os.chmod(path, DIRECTORY_MODE)
    except FileExistsError:
        is_directory = os.path.isdir(path) if parents else stat.S_ISDIR(os.lstat(path).st_mode)
        if not is_directory:
            raise StoreRefused(
                f"{path} is not a directory", hint="move it away and try again"
            ) from None
    except OSError as fault:
        raise cannot("make", path, fault) from fault


def open_private(path: str | Path, flags: int) -> int:
    """Open a file for writing, mode 0600 whatever the umask, never through a symbolic link.

    Returns a file descriptor. Raises StoreRefused for a link, StoreUnavailable otherwise.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | _NO_FOLLOW, FILE_MODE)
    except OSError as fault:
        if fault.errno in (errno.ELOOP, errno.EMLINK):
            raise StoreRefused(
                f"{path} is a symbolic link, which is not followed", hint="remove it"
            ) from None
        raise cannot("open", path, fault) from fault
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE and hasattr(os, "fchmod"):
            os.fchmod(descriptor, FILE_MODE)
    except OSError as fault:
        os.close(descriptor)
        raise cannot("protect", path, fault) from fault
    return descriptor


def cannot(verb: str, path: str | Path, fault: OSError) -> StoreUnavailable:
    """Return the error for something that the file system refused, in one line."""
    hints = {
        errno.EACCES: "check its owner and mode, or name another home with --home",
        errno.EPERM: "check its owner and mode, or name another home with --home",
        errno.EROFS: "the file system is read-only; name another home with --home",
        errno.ENOSPC: "the disk is full; make room and try again",
        errno.EDQUOT: "the disk quota is used up; make room and try again",
    }
    return StoreUnavailable(
        f"cannot {verb} {path}: {fault.strerror}", hint=hints.get(fault.errno or 0, "")
    )


def _is_gone(pid: str) -> bool:
    """Whether a process has ended, be it reaped or not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in b"ZX"
    except OSError:
        return True
