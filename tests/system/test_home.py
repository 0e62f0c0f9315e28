"""The home: its files and modes, and which home and store are meant."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput, StoreRefused, StoreUnavailable
from queuectl.system.home import (
    Home,
    Location,
    cannot,
    find_location,
    open_private,
    private_directory,
    read_env_file,
    working_directory,
)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def under_umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a directory, and run the test under several umasks."""
    before = os.umask(request.param)
    yield tmp_path
    os.umask(before)


@pytest.fixture
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's data directory, moved to a place of the test's own."""
    data = tmp_path / "data" / "queuectl"
    monkeypatch.setenv("XDG_DATA_HOME", str(data.parent))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_args, **_more: data)
    return data


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a working directory two levels down."""
    path = tmp_path / "project" / "src"
    path.mkdir(parents=True)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def find(
    cwd: Path,
    home: str | None = None,
    store: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Location:
    return find_location(home, store, environ=environ or {}, cwd=cwd)


def test_homes_and_files_are_made_private_whatever_the_umask(under_umask: Path) -> None:
    home, path = Home(under_umask / "home"), under_umask / "file"
    home.make()
    os.close(open_private(path, os.O_WRONLY))
    assert (mode(home.root), mode(path)) == (0o700, 0o600)


def test_a_file_that_others_could_read_is_made_private_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    path.chmod(0o644)
    os.close(open_private(path, os.O_WRONLY | os.O_APPEND))
    assert (mode(path), path.read_text()) == (0o600, "kept")


def test_a_file_that_cannot_be_made_private_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path = tmp_path / "file"
    path.touch(mode=0o644)
    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(StoreUnavailable, match=f"cannot protect {path}"):
        open_private(path, os.O_WRONLY)


def test_a_link_in_place_of_a_file_or_an_inner_directory_is_not_followed(tmp_path: Path) -> None:
    target, file, inner = (tmp_path / name for name in ("target", "file", "logs"))
    file.symlink_to(target)
    with pytest.raises(StoreRefused, match="symbolic link"):
        open_private(file, os.O_WRONLY)
    assert not target.exists()
    inner.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(StoreRefused, match="is not a directory"):
        private_directory(inner)


def test_a_file_in_place_of_the_home_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.write_text("mine")
    with pytest.raises(StoreRefused, match=f"{path} is not a directory"):
        Home(path).make()
    assert path.read_text() == "mine"


def test_a_home_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Home(tmp_path).make()
    assert mode(tmp_path) == 0o750


def test_a_directory_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot make"):
        private_directory(tmp_path / "absent" / "inner")
    full = cannot("make", tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    assert str(full) == f"cannot make {tmp_path}: No space left on device"
    assert full.hint == "the disk is full; make room and try again"


def test_every_file_of_a_home_is_below_its_root(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.store_file == tmp_path / "queue.db"
    assert home.pid_file == tmp_path / "workers.pid"
    assert home.history_file == tmp_path / "history"
    assert home.job_logs == tmp_path / "logs" / "jobs"
    assert home.worker_logs == tmp_path / "logs" / "workers"


def test_without_a_word_the_home_is_the_users_data_directory(work: Path, user_data: Path) -> None:
    place = find(work)
    assert place.home.root == user_data
    assert place.store_url == str(user_data / "queue.db")
    assert not user_data.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the data directory has other names")
@pytest.mark.parametrize("variable", ["", "relative/path"])
def test_a_data_directory_that_is_not_absolute_is_ignored(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find(work).home.root == tmp_path / ".local" / "share" / "queuectl"


def test_the_search_can_be_left_out_for_a_home_here(work: Path, tmp_path: Path) -> None:
    (tmp_path / ".queuectl").mkdir()
    place = find_location(environ={}, cwd=work, search=False)
    assert place.home.root == work / ".queuectl"


def test_the_nearest_home_upward_is_found(work: Path, tmp_path: Path) -> None:
    far, near = tmp_path / ".queuectl", tmp_path / "project" / ".queuectl"
    far.mkdir()
    assert find(work).home.root == far
    near.mkdir()
    assert find(work).home.root == near


def test_a_home_comes_from_the_option_then_the_environment_then_the_env_file(
    work: Path, tmp_path: Path
) -> None:
    (work / ".queuectl").mkdir()
    (work / ".env").write_text(f"QUEUECTL_HOME={tmp_path / 'file'}\n")
    environ = {"QUEUECTL_HOME": str(tmp_path / "variable")}
    option = tmp_path / "option"
    assert find(work, home=str(option), environ=environ).home.root == option
    assert find(work, environ=environ).home.root == tmp_path / "variable"
    assert find(work, environ={"QUEUECTL_HOME": ""}).home.root == tmp_path / "file"
    (work / ".env").unlink()
    assert find(work).home.root == work / ".queuectl"


def test_a_store_comes_from_option_environment_here_and_home_in_that_order(work: Path) -> None:
    home = work / ".queuectl"
    home.mkdir()
    (home / ".env").write_text("QUEUECTL_STORE=mongodb://home/db\n")
    assert find(work).store_url == "mongodb://home/db"
    (work / ".env").write_text("MONGO_URI=mongodb://here/db\n")
    assert find(work).store_url == "mongodb://here/db"
    environ = {"MONGO_URI": "mongodb://variable/db"}
    assert find(work, environ=environ).store_url == "mongodb://variable/db"
    environ["QUEUECTL_STORE"] = "mongodb://first/db"
    assert find(work, environ=environ).store_url == "mongodb://first/db"
    assert find(work, store="mongodb://option/db", environ=environ).store_url == (
        "mongodb://option/db"
    )


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("other.db", "{work}/other.db"),
        ("sqlite:///other.db", "{work}/other.db"),
        ("sqlite:////srv/q.db", "/srv/q.db"),
    ],
)
def test_a_store_is_the_same_from_every_directory(work: Path, url: str, path: str) -> None:
    assert find(work, home="h", store=url).store_url == path.format(work=work)


def test_a_way_up_is_followed_as_the_system_follows_it(work: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (work / "link").symlink_to(tmp_path / "far" / "inner")
    assert find(work, home="link/../h").home.root == tmp_path / "far" / "h"
    assert find(work, home="absent/../h", store="absent/../x.db").store_url == str(work / "x.db")
    assert find(work, home="link").home.root == work / "link"
    assert find(work, home="../link").home.root == work.parent / "link"
    assert find(work, home="..").home.root == work.parent


def test_an_unknown_kind_of_store_is_refused(work: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown kind of store 'postgres://'"):
        find(work, home="h", store="postgres://host/db")


def test_a_home_of_another_user_on_the_way_up_is_refused(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".queuectl").mkdir()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(InvalidInput, match="belongs to another user") as caught:
        find(work)
    assert "--home" in caught.value.hint
    assert find(work, home=str(tmp_path / ".queuectl")).home.root == tmp_path / ".queuectl"


def test_a_place_does_not_show_the_password_in_its_address(tmp_path: Path) -> None:
    place = Location(Home(tmp_path), "mongodb://user:hunter2@host/db")
    assert "hunter2" not in f"{place!r} {place}"
    assert str(tmp_path) in repr(place)


def test_an_env_file_is_optional_and_one_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert read_env_file(path) == {}
    path.write_bytes(b"\xff\xfe\x00A=1")
    with pytest.raises(InvalidInput, match="is not UTF-8 text"):
        read_env_file(path)


def test_an_env_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / ".env"
    path.write_text("A=1")
    monkeypatch.setattr("dotenv.dotenv_values", refuse)
    with pytest.raises(StoreUnavailable, match=f"cannot read {path}: Permission denied"):
        read_env_file(path)


def test_a_working_directory_that_was_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidInput, match="working directory does not exist"):
        working_directory()


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("~/jobs", "/jobs"),
        ("~//jobs/", "/jobs"),
        ("a//b/./c/", "{cwd}/a/b/c"),
        ("missing/../b", "{cwd}/b"),
        ("link/../b", "{root}/b"),
    ],
)
def test_a_home_is_one_path_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/")
    cwd = tmp_path / "cwd"
    (tmp_path / "far").mkdir()
    cwd.mkdir()
    (cwd / "link").symlink_to(tmp_path / "far")
    found = find_location(named, environ={}, cwd=cwd).home
    assert found.directory == meant.format(cwd=cwd, root=tmp_path)
    assert found == Home(found.root)
