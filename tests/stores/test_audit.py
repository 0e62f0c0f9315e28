"""The audit trail in the stores: the latest act first, bounded, and aged out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from queuectl.domain import audit
from queuectl.domain.audit import AuditEntry
from queuectl.domain.settings import Settings
from queuectl.maintenance.pruner import Pruner
from queuectl.stores.base import Store
from queuectl.stores.mongo import audit as mongo_audit
from queuectl.system.home import Home

HOUR = timedelta(hours=1)


def note(store: Store, *entries: tuple[str, str, timedelta]) -> list[AuditEntry]:
    """Note who did what how long ago; return these acts."""
    now = store.now()
    made = [
        AuditEntry(now - ago, who, act, (f"{act}1", "ü\x1b"), 7, "state=dead")
        for who, act, ago in entries
    ]
    store.audit.add(made)
    return made


def test_what_was_noted_is_found_the_latest_first(store: Store) -> None:
    assert store.audit.find() == []
    first, second = note(store, ("me@box", "retry", HOUR), ("token:ci", "cancel", 2 * HOUR))
    third, fourth = note(store, ("me@box", "edit", HOUR / 2), ("me@box", "delete", HOUR / 2))
    assert store.audit.find() == [fourth, third, first, second]
    assert store.audit.find(limit=2) == [fourth, third]
    assert store.audit.find(limit=2, skip=1) == [third, first]
    assert store.audit.find(skip=4) == []
    assert store.audit.find(since=first.at) == [fourth, third, first]
    assert store.audit.find(who="TOKEN:") == [second]
    assert store.audit.find(since=first.at, who="token") == []


def test_signs_in_a_name_stand_for_themselves(store: Store) -> None:
    (one,) = note(store, ("user:a.b%_(x)", "retry", HOUR))
    for who in (".", "%_(", "a.b", "USER:A.B"):
        assert store.audit.find(who=who) == [one], who
    for who in ("axb", "%%", ".*", "["):
        assert store.audit.find(who=who) == [], who


def test_there_are_never_more_than_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_ENTRIES", 3)
    monkeypatch.setattr(mongo_audit, "_SOME", 0)
    for hours in range(9, 0, -1):
        note(store, ("me", f"act{hours}", hours * HOUR))
    assert [each.act for each in store.audit.find()] == ["act1", "act2", "act3"]


def test_workers_let_go_of_what_is_old_unless_all_is_kept(store: Store, tmp_path: Path) -> None:
    note(store, ("me", "old", 100 * 24 * HOUR), ("me", "new", HOUR))
    home = Home(tmp_path)
    Pruner(store, home).tick(Settings(retention_audit=0))
    assert [each.act for each in store.audit.find()] == ["new", "old"]
    Pruner(store, home).tick(Settings())
    assert [each.act for each in store.audit.find()] == ["new"]
    assert store.audit.forget(store.now()) == 1
