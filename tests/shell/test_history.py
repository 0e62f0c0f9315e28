"""What was typed is kept in the home, once there is one."""

from __future__ import annotations

from pathlib import Path

from queuectl.shell.history import PrivateHistory
from queuectl.system.home import Home


def test_the_history_makes_no_home_and_is_written_when_there_is_one(home: Path) -> None:
    history = PrivateHistory(Home(home))
    history.store_string("list")
    assert not home.exists()
    home.mkdir(mode=0o700)
    history.store_string("enqueue a true")
    assert list(PrivateHistory(Home(home)).load_history_strings()) == ["enqueue a true", "list"]


def test_what_was_typed_before_there_was_a_home_follows_without_another_line(home: Path) -> None:
    history = PrivateHistory(Home(home))
    history.store_string("init")
    home.mkdir(mode=0o700)
    history.save()
    history.save()
    assert list(PrivateHistory(Home(home)).load_history_strings()) == ["init"]
