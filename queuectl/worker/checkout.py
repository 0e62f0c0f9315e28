"""Checks out the snapshot of a job's work tree, before its command, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from queuectl.system.git_snapshot import GitFailed, SnapshotGone, check_out

GONE = 3
"""The exit code where no other try on this host would help."""


def main() -> int:
    """Check out what the command line names: a repository, a commit, where to, and a directory."""
    root, commit, target, below = sys.argv[1:]
    try:
        check_out(root, commit, target)
        Path(target, below).mkdir(parents=True, exist_ok=True)  # git knows no empty directory
    except (GitFailed, OSError) as fault:
        sys.stderr.write(f"{fault}\n")
        return GONE if isinstance(fault, SnapshotGone) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
