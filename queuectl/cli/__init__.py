"""The command line: one-shot commands, and the tree that the shell runs too."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and end it with the command's exit code."""
    import os
    import sys

    if os.getpid() == 1:
        _heed_stop()
    from queuectl.cli.app import run_process

    sys.exit(run_process(sys.argv[1:]))


def _heed_stop() -> None:
    """Let SIGTERM end this process from the start.

    Until the first process of a container handles a signal, the kernel keeps it from that signal:
    a stop that came while the program was being loaded would be lost.
    """
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
