"""Named tokens of a dashboard: made for a program or a person, and withdrawn by their name.

Each is a file of its name in the home, with the digest of what is secret in it. So a name is taken
by the whole file, and a token is withdrawn by removing it, whoever does so at the same time.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from tempfile import NamedTemporaryFile

from queuectl.domain.errors import Conflict, InvalidInput, NotFound, nearest
from queuectl.domain.field_checks import check_name, is_name
from queuectl.domain.frozen import frozen
from queuectl.domain.times import UTC, iso
from queuectl.system.home import Home, cannot, private_directory

_MOST_BYTES = 4096


OWN = "dashboard"
"""Who shows the token that is in the home since the dashboard was first started."""


@frozen
class Token:
    """One token as it is kept: what is secret was shown once, and only its digest is known.

    The digest is a plain SHA-256: what it is of is random and has 256 bits, so nobody guesses it.
    """

    name: str
    digest: str
    read_only: bool
    created_at: str

    def as_dict(self) -> dict[str, object]:
        """Return what may be shown of it."""
        return {"name": self.name, "read_only": self.read_only, "created_at": self.created_at}


class Tokens:
    """The named tokens of a home."""

    def __init__(self, home: Home) -> None:
        self._directory = home.tokens

    def new(self, name: str, *, read_only: bool = False) -> str:
        """Make a token; return what is secret of it. Raises Conflict for a name that is taken."""
        check_name("name", name)
        private_directory(self._directory, parents=True)
        self._require_private()
        secret = secrets.token_urlsafe(32)
        made = {"sha256": _digest(secret), "read_only": read_only, "created_at": _now()}
        path = self._directory / name
        try:
            with NamedTemporaryFile("w", dir=self._directory, prefix=".") as file:
                json.dump(made, file)
                file.flush()
                os.link(file.name, path)  # so that a name is taken by a whole token only
        except FileExistsError:
            hint = f"queuectl dashboard token revoke {name}, or choose another name"
            raise Conflict(f"there is a token '{name}' already", hint=hint) from None
        except OSError as fault:
            raise cannot("make", path, fault) from fault
        return secret

    def all(self) -> list[Token]:
        """Return the tokens that hold, by name. Raises InvalidInput where others may add some."""
        try:
            names = sorted(each for each in os.listdir(self._directory) if is_name(each))  # noqa: PTH208
        except FileNotFoundError:
            return []
        except OSError as fault:
            raise cannot("read", self._directory, fault) from fault
        self._require_private()
        return [token for name in names if (token := self._get(name)) is not None]

    def revoke(self, name: str) -> None:
        """Withdraw a token; who has logged in with it is out at once. Raises NotFound."""
        try:
            (self._directory / check_name("name", name)).unlink()
        except FileNotFoundError:
            close = nearest(name, [each.name for each in self.all()])
            hint = "queuectl dashboard token list shows them"
            raise NotFound(f"no token '{name}'{close}", hint=hint) from None
        except OSError as fault:
            raise cannot("remove", self._directory / name, fault) from fault

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret, if any."""
        digest = _digest(secret)
        found = [each for each in self.all() if hmac.compare_digest(each.digest, digest)]
        return found[0] if found else None

    def holds(self, token: Token) -> bool:
        """Whether a token was not withdrawn meanwhile."""
        return self._get(token.name) == token

    def _get(self, name: str) -> Token | None:
        """Return one token; None for one that is gone, or is just being made."""
        try:
            with (self._directory / name).open("rb") as file:
                return _from_json(name, json.loads(file.read(_MOST_BYTES)))
        except (OSError, ValueError):
            return None

    def _require_private(self) -> None:
        if stat.S_IMODE(self._directory.stat().st_mode) & 0o022:
            hint = f"chmod 700 {self._directory}"
            raise InvalidInput(f"others can write to {self._directory}", hint=hint)


def _from_json(name: str, value: Mapping[str, object]) -> Token:
    """Return a token as its file has it. Raises ValueError."""
    try:
        digest, created_at = value["sha256"], value["created_at"]
        read_only = value["read_only"]
    except (TypeError, KeyError):
        raise ValueError(f"{name} holds no token") from None
    if not isinstance(digest, str) or len(digest) != 64 or not isinstance(created_at, str):
        raise ValueError(f"{name} holds no token")
    return Token(name, digest, read_only is not False, created_at)


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def _now() -> str:
    return iso(datetime.now(UTC))
