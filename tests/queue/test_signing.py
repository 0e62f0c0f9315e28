"""Signed jobs: what a signature covers, on both stores, and who may change it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import Conflict, InvalidInput, NotFound
from queuectl.domain.frozen import replace
from queuectl.domain.job_fields import FIELDS, Field, Kind, Spec
from queuectl.queue import Queue, signing
from queuectl.queue.signing import NOT_TRUSTED, Signer, Verifier
from queuectl.stores.base import Store
from queuectl.stores.rules import identity_of
from queuectl.system.home import Home, Location
from tests.stores.conftest import mongo_url, opened, store, store_url

__all__ = ["mongo_url", "opened", "store", "store_url"]

SPEC = Spec("a", "echo hi", cwd="/srv", env=(("A", "1"),), needs=(("gpu", "1"),), timeout=5.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a key, which it trusts."""
    home = Home(tmp_path / "home")
    signing.trust(home, "me", signing.new_key(home))
    return home


def other_value(field: Field, value: object) -> Any:
    """Return a value of a field's kind that is not this one."""
    others = {
        Kind.TEXT: "other", Kind.MAYBE_TEXT: "other", Kind.WHOLE: 7, Kind.NUMBER: 7.5,
        Kind.FLAG: not value, Kind.WORDS: ("other",), Kind.PAIRS: (("other", "1"),),
    }  # fmt: skip
    return others[field.kind]


def test_a_signed_job_comes_back_from_its_store_as_it_was_signed(home: Home, store: Store) -> None:
    queue = Queue(store, home)
    fields = {
        "command": ["echo", "☃"],
        "env": {"A": "ü"},
        "backoff_base": 2,
        "retry_on": ["75"],
        "input_text": "x\n",
    }
    jobs = [queue.enqueue_one(fields), queue.enqueue_one("true")]
    verifier = Verifier(home, store)
    for job_id in jobs:
        assert verifier.refusal(queue.get(job_id).spec) == ""


def test_every_job_of_a_sweep_is_signed(home: Home, store: Store) -> None:
    queue = Queue(store, home)
    batch = queue.enqueue_sweep(queue.sweep("echo {n}", params={"n": [1, 2, 3]})).batch
    specs = [job.spec for job in map(queue.get, store.present([f"{batch}-{n}" for n in (1, 2, 3)]))]
    assert all(spec.signature for spec in specs)
    assert {Verifier(home, store).refusal(spec) for spec in specs} <= {""}


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.is_signed])
def test_a_job_with_any_signed_field_changed_is_refused(
    home: Home, store: Store, name: str
) -> None:
    signed = Signer(home, store).sign(SPEC)
    verifier = Verifier(home, store)
    assert verifier.refusal(signed) == ""
    value = other_value(FIELDS[name], getattr(signed, name))
    changed = replace(signed, **{name: value})
    assert verifier.refusal(changed) == NOT_TRUSTED


def test_only_what_cannot_change_what_is_executed_is_not_signed() -> None:
    unsigned = {name for name, field in FIELDS.items() if not field.is_signed}
    assert unsigned == {"priority", "at_once", "max_fails", "signature"}


def test_another_id_command_store_time_or_key_is_refused(home: Home, store: Store) -> None:
    signed = Signer(home, store).sign(SPEC)
    verifier = Verifier(home, store)
    assert signed.signature
    version, public, issued, mark = signed.signature.split(" ")
    others = [
        replace(signed, id="b"),
        replace(signed, command=("echo", "hi")),
        replace(signed, signature=None),
        replace(signed, signature="nonsense"),
        replace(signed, signature=f"2 {public} {issued} {mark}"),
        replace(signed, signature=f"{version} {public} 2001-01-01T00:00:00.000Z {mark}"),
    ]
    assert {verifier.refusal(spec) for spec in others} == {NOT_TRUSTED}
    store.meta.set("identity", "of another store")
    assert Verifier(home, store).refusal(signed) == NOT_TRUSTED


def test_a_home_holds_to_the_store_for_which_it_requires_signatures(
    home: Home, store: Store
) -> None:
    signing.require(home, store, is_required=True)
    before = identity_of(store)
    store.meta.set("identity", "of another store")
    copied = Signer(home, store).sign(SPEC)
    assert Verifier(home, store).refusal(copied) == NOT_TRUSTED
    store.meta.set("identity", before)
    assert Verifier(home, store).refusal(Signer(home, store).sign(SPEC)) == ""
    signing.require(home, store, is_required=False)
    assert not home.requires_signed()


def test_a_revoked_key_counts_no_more_at_once(home: Home, store: Store) -> None:
    signed, verifier = Signer(home, store).sign(SPEC), Verifier(home, store)
    signing.revoke(home, "me")
    assert verifier.refusal(signed) == NOT_TRUSTED
    with pytest.raises(NotFound, match="no trusted key 'me'"):
        signing.revoke(home, "me")


def test_keys_that_others_can_read_or_add_are_refused(home: Home, store: Store) -> None:
    assert stat.S_IMODE(Path(home.signing_key).stat().st_mode) == 0o600
    signed = Signer(home, store).sign(SPEC)
    home.trusted_keys.chmod(0o777)
    assert "others can write" in Verifier(home, store).refusal(signed)
    os.chmod(home.signing_key, 0o644)  # noqa: PTH101  # its path is a text
    with pytest.raises(InvalidInput, match="others can read the key"):
        Signer(home, store)


def test_a_key_is_not_made_twice_and_no_other_text_is_trusted(home: Home) -> None:
    with pytest.raises(Conflict, match="there is a key already"):
        signing.new_key(home)
    with pytest.raises(Conflict, match="a key 'me' is trusted already"):
        signing.trust(home, "me", signing.own_key(home) or "")
    for text in ("", "ed25519:", "ed25519:AAAA", "ed25519:" + "ä" * 43, "rsa:" + "A" * 43):
        with pytest.raises(InvalidInput, match="is no public key"):
            signing.trust(home, "other", text)


def test_a_key_elsewhere_is_named_by_the_environment(
    home: Home, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUECTL_SIGNING_KEY", home.signing_key)
    queue = Queue(store, Home(tmp_path / "other"))
    assert Verifier(home, store).refusal(queue.get(queue.enqueue_one("true")).spec) == ""


def test_a_signed_job_is_changed_by_its_key_alone(home: Home, store: Store, tmp_path: Path) -> None:
    ours, theirs = Queue(store, home), Queue(store, Home(tmp_path / "other"))
    job_id, verifier = ours.enqueue_one("true"), Verifier(home, store)
    with pytest.raises(InvalidInput, match="is signed, and there is no key here"):
        theirs.edit(job_id, {"command": "false"})
    assert theirs.edit(job_id, {"priority": 3}).spec.priority == 3
    edited = ours.edit(job_id, {"command": "echo hi"})
    assert verifier.refusal(edited.spec) == ""
    signing.new_key(theirs.home)
    stranger = Queue(store, theirs.home)
    with pytest.raises(InvalidInput, match="is not as this home's key has signed it"):
        stranger.edit(job_id, {"command": "false"})


def test_what_may_not_sign_enqueues_unsigned_and_cannot_edit(home: Home, store: Store) -> None:
    job_id = Queue(store, home).enqueue_one("true")
    dashboard = Queue(store, home)
    dashboard.may_sign = False
    assert dashboard.get(dashboard.enqueue_one("true")).spec.signature is None
    with pytest.raises(InvalidInput, match="is signed"):
        dashboard.edit(job_id, {"command": "false"})


def test_nothing_is_loaded_and_signed_without_a_key(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with Queue.open(Location(home, str(home.store_file))) as queue:
        assert queue.get(queue.enqueue_one("true")).spec.signature is None
        assert queue._signer is None
