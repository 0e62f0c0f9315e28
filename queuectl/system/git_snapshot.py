"""Snapshots of git work trees: a commit with what is not committed, and checkouts of it.

Neither the index nor the stash is touched: another index is used, a copy of the one that is there.
Nothing that a configuration names is run: no hook, no file system monitor, no filter. So files are
kept as they are in the work tree, those of git-lfs too. Submodules are not taken along.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from queuectl.domain.errors import InvalidInput

REFS = "refs/queuectl/"
"""Under which the refs are that hold the objects of snapshots."""

_NOTHING_RUN = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.splitIndex=false", "gc.auto=0",
    "core.sparseCheckout=false", "submodule.recurse=false", "advice.addEmbeddedRepo=false",
    "core.safecrlf=false", "maintenance.auto=false",
)  # fmt: skip
_FILTERS = r"^filter\..*\.(clean|smudge|process|required)$"
_PLAIN = re.compile(r"[\w-]+")
_IDENTITY = "queuectl", "queuectl@localhost"
_FAULTS = "fatal: ", "error: "
"""How lines begin that say why git has failed; there may be warnings before them."""

_LINKED = "160000"
"""The mode of a submodule in a tree."""


class GitFailed(Exception):
    """A git command has failed; the text is the last line of what it said."""


class SnapshotGone(GitFailed):
    """There is no such snapshot any more, or nothing that can be read as its repository."""


class Git:
    """Runs git in one directory, with everything off that a configuration could have it run."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._options: list[str] = []
        self.filters: list[str] = []
        found = self.run("config", "--null", "--name-only", "--get-regexp", _FILTERS, fails_with=1)
        options = [*_NOTHING_RUN]
        for name in dict.fromkeys(key.rpartition(".")[0] for key in found.split("\0") if key):
            if "=" in name:
                raise GitFailed(f"the configuration has a filter that cannot be left out: {name}")
            options += [f"{name}.{each}=" for each in ("clean", "smudge", "process")]
            options.append(f"{name}.required=false")
            self.filters.append(name.removeprefix("filter."))
        self._options = [word for option in options for word in ("-c", option)]

    def run(
        self, *words: str, more: Mapping[str, str] | None = None, fails_with: int | None = None
    ) -> str:
        """Return what a git command writes; empty where it ends with the code `fails_with`.

        Raises GitFailed.
        """
        line = ["git", *self._options, *words]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        variables |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                line, cwd=self._directory, env={**variables, **(more or {})}, capture_output=True,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except OSError as fault:
            raise GitFailed(f"git cannot be run: {fault.strerror}") from None
        if done.returncode == 0:
            return os.fsdecode(done.stdout)
        if done.returncode == fails_with:
            return ""
        lines = [line for line in os.fsdecode(done.stderr).splitlines() if line.strip()]
        faults = [line for line in lines if line.startswith(_FAULTS)] or lines
        raise GitFailed(faults[0] if faults else f"git ended with {done.returncode}")


class Taken(NamedTuple):
    """The commit of a snapshot, the root of its work tree, and whether that has submodules."""

    commit: str
    root: str
    has_submodules: bool


def take(directory: str, leave_out: Sequence[str] = ()) -> Taken:
    """Take a snapshot of the work tree that a directory is in, and hold it by a ref.

    What `leave_out` names, or is below that, is not taken along unless git knows it already.
    A tree without changes is the commit that is checked out. Raises InvalidInput where there is no
    work tree, or git cannot read it.
    """
    try:
        root = work_tree_of(directory)
        git = Git(root)
        head = git.run("rev-parse", "--verify", "-q", "HEAD^{commit}", fails_with=1).strip()
        tree = _tree_of(git, root, leave_out)
        if head and git.run("rev-parse", f"{head}^{{tree}}").strip() == tree:
            commit = head
        else:
            commit = _commit_of(git, tree, head)
        git.run("update-ref", "--no-deref", f"{REFS}{commit}", commit)
        entries = git.run("ls-tree", "-r", "-z", commit).split("\0")
    except GitFailed as fault:
        raise _refusal(directory, fault) from None
    return Taken(commit, root, any(entry.startswith(_LINKED) for entry in entries))


def work_tree_of(directory: str) -> str:
    """Return the root of the work tree that a directory is in. Raises InvalidInput."""
    try:
        return Git(directory).run("rev-parse", "--show-toplevel").rstrip("\n")
    except GitFailed as fault:
        raise _refusal(directory, fault) from None


def repository_of_linked(root: str) -> str:
    """Return the repository of a linked work tree; empty for one that is with its repository."""
    try:
        own, common = Git(root).run("rev-parse", "--git-dir", "--git-common-dir").splitlines()
    except (GitFailed, ValueError):
        return ""
    repository = os.path.realpath(Path(root, common))
    return "" if repository == os.path.realpath(Path(root, own)) else repository


def _refusal(directory: str, fault: GitFailed) -> InvalidInput:
    return InvalidInput(f"no snapshot can be taken in {directory}: {fault}")


def _tree_of(git: Git, root: str, leave_out: Sequence[str]) -> str:
    """Return the tree of all that is in the work tree, and neither ignored nor left out."""
    below = (os.path.relpath(os.path.realpath(path), root) for path in leave_out)
    others = [
        f":(top,exclude,literal){path}"
        for path in below
        if Path(path).parts[:1] not in ((), ("..",))
    ]
    index = Path(root, git.run("rev-parse", "--git-path", "index").rstrip("\n"))
    with TemporaryDirectory(prefix="queuectl-") as folder:
        own = Path(folder, "index")
        if index.exists():
            shutil.copy2(index, own)  # with its time, by which git knows what may have changed
        more = {"GIT_INDEX_FILE": str(own)}
        for name in filter(_PLAIN.fullmatch, git.filters):
            # so that these are read as they are, and not believed to be what a filter made
            chosen = f":(top,attr:filter={name})"
            git.run("rm", "-r", "-f", "-q", "--cached", "--ignore-unmatch", chosen, more=more)
        git.run("add", "-A", "--", ".", *others, more=more)
        return git.run("write-tree", more=more).strip()


def _commit_of(git: Git, tree: str, head: str) -> str:
    """Return a commit of a tree; of the same tree on the same commit it is the same."""
    date = git.run("show", "-s", "--format=%ct", head).strip() if head else "0"
    name, email = _IDENTITY
    more = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email), ("DATE", f"@{date} +0000"))
    }
    parents = ("-p", head) if head else ()
    return git.run("commit-tree", tree, *parents, "-m", "queuectl snapshot", more=more).strip()


def let_go(root: str, commit: str) -> None:
    """Delete the ref of a snapshot; where its repository is gone there is none."""
    if not Path(root).is_dir():
        return
    try:
        Git(root).run("update-ref", "--no-deref", "-d", f"{REFS}{commit}")
    except GitFailed:
        return  # no repository is there any more, or another one


def check_out(root: str, commit: str, target: str) -> None:
    """Make a work tree of a snapshot's own in `target`, with its branch detached.

    Raises SnapshotGone, and GitFailed where another try may help.
    """
    if not Path(root).is_dir():
        raise SnapshotGone(f"{root} is not there")
    try:
        git = Git(root)
        git.run("cat-file", "-e", f"{commit}^{{commit}}")
    except GitFailed as fault:
        raise SnapshotGone(str(fault)) from None
    git.run("worktree", "add", "--quiet", "--force", "--detach", target, commit)


def remove_checkout(target: Path) -> None:
    """Remove what `check_out` has made, as far as it came, and what the repository knows of it."""
    try:
        known = (target / ".git").read_text().removeprefix("gitdir: ").rstrip("\n")
    except OSError:
        known = ""
    shutil.rmtree(target, ignore_errors=True)
    admin = Path(known)
    if known and admin.parent.name == "worktrees" and admin.name == target.name:
        shutil.rmtree(admin, ignore_errors=True)


def words_of(root: str, commit: str, target: str, cwd: str) -> Sequence[str]:
    """Return what `worker.checkout` is to be called with."""
    return (root, commit, target, os.path.relpath(os.path.realpath(cwd), root))
