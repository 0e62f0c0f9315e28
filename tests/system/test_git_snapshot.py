"""Snapshots of git work trees, with real git: what is in them, and what they leave alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.system.git_snapshot import REFS, check_out, let_go, remove_checkout, take


def git(tree: Path, *words: str) -> str:
    """Run git in a work tree and return what it writes."""
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    done = subprocess.run(
        ["git", *who, *words], cwd=tree, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git have no configuration but that of the test's repository."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with one commit."""
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main")
    (tree / "kept.txt").write_text("kept\n")
    (tree / "changed.txt").write_text("first\n")
    (tree / "removed.txt").write_text("removed\n")
    (tree / ".gitignore").write_text("*.log\n")
    (tree / "below").mkdir()
    (tree / "below" / "deep.txt").write_text("deep\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "first")
    return tree


@pytest.fixture
def target(tmp_path: Path, tree: Path) -> Iterator[Path]:
    """Where a snapshot is checked out; nothing is left of it."""
    target = tmp_path / "checkout"
    yield target
    remove_checkout(target)
    assert not target.exists()
    assert git(tree, "worktree", "list").count("\n") == 0


def change(tree: Path) -> None:
    """Change a work tree in every way, some of it staged, and stash something before."""
    (tree / "changed.txt").write_text("stashed\n")
    git(tree, "stash", "-q")
    (tree / "changed.txt").write_text("staged\n")
    git(tree, "add", "changed.txt")
    (tree / "changed.txt").write_text("second\n")
    (tree / "removed.txt").unlink()
    (tree / "new.txt").write_text("new\n")
    (tree / "ignored.log").write_text("ignored\n")
    (tree / "tool.sh").write_text("#!/bin/sh\n")
    (tree / "tool.sh").chmod(0o755)


def files(tree: Path) -> dict[str, str]:
    """Return the files of a tree with what is in them."""
    found = (path for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(tree)): path.read_text() for path in found}


def state(tree: Path) -> tuple[str, ...]:
    """Return what git says of a work tree that a snapshot must not touch."""
    index = (tree / ".git" / "index").read_bytes().hex()
    looks = (
        ["--no-optional-locks", "status", "--porcelain"],
        ["stash", "list"],
        ["rev-parse", "HEAD"],
        ["branch"],
    )
    return (index, *(git(tree, *words) for words in looks))


def test_it_has_all_that_is_in_the_work_tree_and_not_ignored(tree: Path, target: Path) -> None:
    change(tree)
    wanted = {name: text for name, text in files(tree).items() if name != "ignored.log"}
    commit, root, has_submodules = take(str(tree / "below"))
    assert (root, has_submodules) == (str(tree), False)
    (tree / "changed.txt").write_text("after that\n")
    (tree / "new.txt").unlink()
    check_out(root, commit, str(target))
    assert files(target) == wanted
    assert os.access(target / "tool.sh", os.X_OK)
    assert git(target, "rev-parse", "HEAD") == commit
    assert git(target, "rev-parse", "HEAD^") == git(tree, "rev-parse", "HEAD")
    assert git(target, "status", "--porcelain") == ""


def test_index_stash_and_branches_are_as_they_were(tree: Path, target: Path) -> None:
    change(tree)
    before = state(tree)
    commit, root, _ = take(str(tree))
    check_out(root, commit, str(target))
    assert state(tree) == before


def test_a_tree_without_changes_is_its_commit_and_equal_ones_are_the_same(tree: Path) -> None:
    assert take(str(tree)).commit == git(tree, "rev-parse", "HEAD")
    change(tree)
    first = take(str(tree)).commit
    assert take(str(tree)).commit == first
    (tree / "new.txt").write_text("newer\n")
    assert take(str(tree)).commit != first


def test_its_objects_are_held_by_a_ref_until_that_is_let_go(tree: Path, target: Path) -> None:
    change(tree)
    commit, root, _ = take(str(tree))
    assert git(tree, "rev-parse", f"{REFS}{commit}") == commit
    git(tree, "gc", "-q", "--prune=now")
    check_out(root, commit, str(target))
    remove_checkout(target)
    let_go(root, commit)
    assert git(tree, "for-each-ref", REFS) == ""
    git(tree, "gc", "-q", "--prune=now")
    with pytest.raises(subprocess.CalledProcessError):
        git(tree, "cat-file", "-e", commit)
    let_go(root, commit)
    let_go(str(tree / "gone"), commit)


def test_nothing_that_a_configuration_names_is_run(
    tree: Path, target: Path, tmp_path: Path
) -> None:
    was_run = tmp_path / "was-run"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho $0 $* >> {was_run}\ncat\n")
    script.chmod(0o755)
    hooks = tree / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
        (hooks / name).write_bytes(script.read_bytes())
        (hooks / name).chmod(0o755)
    for key in ("filter.big.clean", "filter.big.smudge", "core.fsmonitor"):
        git(tree, "config", key, str(script))
    git(tree, "config", "filter.big.required", "true")
    (tree / ".gitattributes").write_text("*.bin filter=big\n")
    (tree / "large.bin").write_text("large\n")
    was_run.unlink(missing_ok=True)
    commit, root, _ = take(str(tree))
    check_out(root, commit, str(target))
    assert not was_run.exists(), was_run.read_text()
    assert (target / "large.bin").read_text() == "large\n"


def test_files_of_a_filter_are_kept_as_they_are_in_the_work_tree(tree: Path, target: Path) -> None:
    git(tree, "config", "filter.big.clean", "sed s/large/pointer/")
    git(tree, "config", "filter.big.smudge", "sed s/pointer/large/")
    (tree / ".gitattributes").write_text("*.bin filter=big\n")
    (tree / "data.bin").write_text("large\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "with a large file")
    assert git(tree, "show", "HEAD:data.bin") == "pointer"
    commit, root, _ = take(str(tree))
    check_out(root, commit, str(target))
    assert (target / "data.bin").read_text() == "large\n"


def test_submodules_are_told_of_and_empty(tree: Path, target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "first")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    commit, root, has_submodules = take(str(tree))
    assert has_submodules
    check_out(root, commit, str(target))
    assert [*(target / "sub").iterdir()] == []


def test_of_a_sparse_tree_the_whole_commit_is_checked_out(tree: Path, target: Path) -> None:
    git(tree, "sparse-checkout", "set", "--no-cone", "/kept.txt", "/.gitignore")
    assert not (tree / "below").exists()
    (tree / "kept.txt").write_text("changed\n")
    commit, root, _ = take(str(tree))
    check_out(root, commit, str(target))
    assert files(target)["below/deep.txt"] == "deep\n"
    assert files(target)["kept.txt"] == "changed\n"


def test_a_tree_without_a_commit_has_a_snapshot_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "tree")
    (tmp_path / "tree" / "new.txt").write_text("new\n")
    commit, root, _ = take(str(tmp_path / "tree"))
    check_out(root, commit, str(tmp_path / "checkout"))
    assert files(tmp_path / "checkout") == {"new.txt": "new\n"}


def test_a_linked_work_tree_has_its_own_state(tree: Path, tmp_path: Path, target: Path) -> None:
    linked = tmp_path / "linked"
    git(tree, "worktree", "add", "-q", str(linked), "-b", "side")
    (linked / "only.txt").write_text("only\n")
    commit, root, _ = take(str(linked))
    assert root == str(linked)
    check_out(root, commit, str(target))
    assert files(target)["only.txt"] == "only\n"
    remove_checkout(target)
    git(tree, "worktree", "remove", "--force", str(linked))


def test_variables_of_git_lead_it_nowhere_else(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert take(str(tree)).root == str(tree)
    monkeypatch.undo()


@pytest.mark.parametrize("kind", ["none", "bare", "inside .git"])
def test_where_there_is_no_work_tree_it_is_refused(tmp_path: Path, tree: Path, kind: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if kind == "bare":
        git(place, "init", "-q", "--bare")
    if kind == "inside .git":
        place = tree / ".git"
    with pytest.raises(InvalidInput, match=f"no snapshot can be taken in {place}"):
        take(str(place))


def test_what_is_left_out_is_not_in_it(tree: Path, target: Path) -> None:
    for name in (".home", "home", "home2"):
        (tree / "below" / name).mkdir()
        (tree / "below" / name / "queue.db").write_text("rows\n")
    places = [
        tree / "below" / "home",
        tree / "below" / ".home",
        tree,
        tree.parent,
        tree.parent / "x",
    ]
    commit, root, _ = take(str(tree / "below"), [*map(str, places)])
    check_out(root, commit, str(target))
    assert {*files(target)} == {*files(tree)} - {"below/home/queue.db", "below/.home/queue.db"}


def test_a_refusal_says_why_git_has_failed_and_not_what_it_warns_of(tree: Path) -> None:
    git(tree, "init", "-q", "inner")
    with pytest.raises(InvalidInput, match=r"(error|fatal): .*inner"):
        take(str(tree))
