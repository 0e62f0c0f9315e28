"""Signed jobs: the key of a home, the keys that it trusts, and what these say of a job.

All of it is in files of the home, or named by the environment, and never in a store: who can write
to a store must not decide whom a host trusts. Only homes with a key, or that require signatures,
load this, and `cryptography` with it.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from queuectl.domain.errors import Conflict, InvalidInput, NotFound, QueuectlError, nearest
from queuectl.domain.field_checks import check_name, is_name
from queuectl.domain.frozen import replace
from queuectl.domain.job_fields import Spec
from queuectl.domain.signed_text import VERSION, signed_text
from queuectl.domain.times import UTC, iso
from queuectl.stores.base import Store
from queuectl.stores.rules import identity_of
from queuectl.system.home import Home, cannot, private_directory

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
except ImportError:
    raise InvalidInput(
        "signed jobs need the package cryptography", hint="pip install 'queuectl-shell[sign]'"
    ) from None

NOT_TRUSTED = "not signed by a key that this worker trusts"

_PREFIX = "ed25519:"
_KEY_BYTES = 32
_MOST_BYTES = 1024


class Signer:
    """Signs jobs of one store with the key of a home, or of the file that the environment names.

    Raises InvalidInput for a key that cannot be used.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self._key = _private_key(Path(home.signing_key))
        self.public = _text_of(self._key.public_key())
        self._identity = identity_of(store)

    def sign(self, spec: Spec) -> Spec:
        """Return a job's specification with a signature of what it is now."""
        issued = iso(datetime.now(UTC))
        signature = self._key.sign(signed_text(spec, self._identity, issued))
        text = " ".join((VERSION, self.public, issued, _encoded(signature)))
        return replace(spec, signature=text)

    def sign_again(self, before: Spec, after: Spec) -> Spec:
        """Return a changed specification, signed anew if it was signed with this same key.

        Raises InvalidInput for one that another key has signed, or that was changed since.
        """
        if signer_of(before, self._identity) != self.public:
            raise InvalidInput(
                f"job '{before.id}' is not as this home's key has signed it",
                hint="enqueue it anew where its key is, or look at it and enqueue it here",
            )
        return self.sign(after)


class Verifier:
    """Says of jobs whether a key that the home trusts has signed them for this store."""

    def __init__(self, home: Home, store: Store) -> None:
        self._home = home
        self._identity = _pinned_identity(home) or identity_of(store)

    def refusal(self, spec: Spec) -> str:
        """Return why a job is not run here; empty: a trusted key has signed it as it is.

        The keys are read each time, so that one that is revoked counts no more at once.
        """
        signer = signer_of(spec, self._identity)
        try:
            is_trusted = signer is not None and signer in trusted_keys(self._home).values()
        except QueuectlError as fault:
            return f"{NOT_TRUSTED}: {fault}"
        return "" if is_trusted else NOT_TRUSTED


def signer_of(spec: Spec, identity: str) -> str | None:
    """Return the public key that has signed a job as it is, for the store of that identity."""
    try:
        version, public, issued, signature = (spec.signature or "").split(" ")
        key = Ed25519PublicKey.from_public_bytes(_key_bytes(public))
        key.verify(_decoded(signature), signed_text(spec, identity, issued))
    except (ValueError, InvalidSignature):
        return None
    return public if version == VERSION else None


def new_key(home: Home) -> str:
    """Make the key of a home; return its public one. Raises Conflict where there is one."""
    path = Path(home.directory) / home.SIGNING_KEY
    key = Ed25519PrivateKey.generate()
    private_directory(Path(home.directory), parents=True)
    _write_new(path, _encoded(key.private_bytes_raw()), f"there is a key already: {path}")
    return _text_of(key.public_key())


def own_key(home: Home) -> str | None:
    """Return the public key of what signs here, if anything does."""
    if not home.has_signing_key():
        return None
    return _text_of(_private_key(Path(home.signing_key)).public_key())


def trust(home: Home, name: str, public: str) -> None:
    """Trust a public key under a name. Raises InvalidInput for what is none, and Conflict."""
    try:
        Ed25519PublicKey.from_public_bytes(_key_bytes(public))
    except ValueError:
        hint = "queuectl key list shows it where it was made"
        raise InvalidInput(f"{public!r} is no public key: ed25519:…", hint=hint) from None
    directory = home.trusted_keys
    private_directory(directory, parents=True)
    _require_private(directory)
    _write_new(directory / check_name("name", name), public, f"a key '{name}' is trusted already")


def revoke(home: Home, name: str) -> None:
    """Trust a key no more. Raises NotFound."""
    path = home.trusted_keys / check_name("name", name)
    try:
        path.unlink()
    except FileNotFoundError:
        hint = "queuectl key list shows them"
        close = nearest(name, list(trusted_keys(home)))
        raise NotFound(f"no trusted key '{name}'{close}", hint=hint) from None
    except OSError as fault:
        raise cannot("remove", path, fault) from fault


def trusted_keys(home: Home) -> Mapping[str, str]:
    """Return the public keys that a home trusts, by name. Raises InvalidInput for a loose one."""
    directory = home.trusted_keys
    try:
        names = sorted(each for each in os.listdir(directory) if is_name(each))  # noqa: PTH208
        _require_private(directory)
        return {name: _read(directory / name) for name in names}
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise cannot("read", directory, fault) from fault


def require(home: Home, store: Store, *, is_required: bool) -> None:
    """Have workers of a home run signed jobs of this very store alone, or any; from their start."""
    path = Path(home.directory) / home.REQUIRE_SIGNED
    path.unlink(missing_ok=True)
    if is_required:
        private_directory(Path(home.directory), parents=True)
        _write_new(path, identity_of(store), f"{path} was made meanwhile")


def _pinned_identity(home: Home) -> str:
    """Return the identity of the store for which the home requires signatures, if it says so."""
    path = Path(home.directory) / home.REQUIRE_SIGNED
    try:
        return _read(path)
    except FileNotFoundError:
        return ""
    except OSError as fault:
        raise cannot("read", path, fault) from fault


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InvalidInput(f"others can read the key {path}", hint=f"chmod 600 {path}")
        text = _read(path)
    except OSError as fault:
        raise cannot("read", path, fault) from fault
    try:
        return Ed25519PrivateKey.from_private_bytes(_decoded(text))
    except ValueError:
        raise InvalidInput(f"{path} holds no key", hint="queuectl key new makes one") from None


def _write_new(path: Path, text: str, taken: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(taken) from None
    except OSError as fault:
        raise cannot("make", path, fault) from fault
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_MOST_BYTES).strip()


def _require_private(directory: Path) -> None:
    if stat.S_IMODE(directory.stat().st_mode) & 0o022:
        raise InvalidInput(f"others can write to {directory}", hint=f"chmod 700 {directory}")


def _text_of(key: Ed25519PublicKey) -> str:
    return _PREFIX + _encoded(key.public_bytes_raw())


def _key_bytes(text: str) -> bytes:
    """Return the bytes of a public key as it is passed on. Raises ValueError."""
    if not text.startswith(_PREFIX):
        raise ValueError("no public key")
    raw = _decoded(text.removeprefix(_PREFIX))
    if len(raw) != _KEY_BYTES or _encoded(raw) != text.removeprefix(_PREFIX):
        raise ValueError("no public key")
    return raw


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    """Return the bytes of a text. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
