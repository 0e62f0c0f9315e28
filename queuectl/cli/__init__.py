"""The command line: one-shot commands, and the tree that the shell runs too."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and end it with the command's exit code."""
    import sys

    from queuectl.cli.app import run_process

    sys.exit(run_process(sys.argv[1:]))
