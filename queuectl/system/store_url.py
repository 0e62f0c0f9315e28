"""The grammar of a store's address: which kind of store it names, and which file."""

from __future__ import annotations

from queuectl.domain.errors import InvalidInput

MONGO_SCHEMES = ("mongodb://", "mongodb+srv://")
SQLITE_SCHEMES = ("sqlite:///", "sqlite://", "sqlite:", "file:")


def is_mongo(url: str) -> bool:
    """Whether an address names a MongoDB server."""
    return url.lower().startswith(MONGO_SCHEMES)


def sqlite_path(url: str) -> str:
    """Return the file that `sqlite:///relative`, `sqlite:////absolute` or a path names.

    Raises InvalidInput for an address of no known kind.
    """
    for scheme in SQLITE_SCHEMES:
        if url.lower().startswith(scheme):
            return url[len(scheme) :]
    if "://" in url:
        raise InvalidInput(
            f"unknown kind of store '{url.split('://')[0]}://'",
            hint="use a path, sqlite:///PATH or mongodb://HOST/DATABASE",
        )
    return url
