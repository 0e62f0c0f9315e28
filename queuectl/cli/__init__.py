"""The command line: one-shot commands, and the tree that the shell runs too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn


_MANY_OBJECTS = 100_000
"""After how many new objects cyclic garbage is looked for: most commands end before that.

With Python's own threshold a sixth of a batch's time and a twenty-fifth of a start would go there.
"""


def main() -> None:
    """Run the command line of this process and end it with the command's exit code."""
    import gc
    import os
    import sys

    gc.set_threshold(_MANY_OBJECTS, *gc.get_threshold()[1:])
    if os.getpid() == 1:
        _heed_stop()
    from queuectl.cli.app import run_process
    from queuectl.stops import be_a_command

    be_a_command()

    _leave(run_process(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """End this process at once: to take down the interpreter takes longer than most commands.

    What was printed is flushed, and what was opened is closed, or the kernel's to close.
    """
    import contextlib
    import os
    import sys

    if "logging" in sys.modules:
        sys.modules["logging"].shutdown()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _heed_stop() -> None:
    """Let SIGTERM end this process from the start.

    Until the first process of a container handles a signal, the kernel keeps it from that signal:
    a stop that came while the program was being loaded would be lost.
    """
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
