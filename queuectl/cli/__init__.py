"""The command line: one-shot commands, and the tree that the shell runs too."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

_INTERRUPTED = 130
_MANY_OBJECTS = 100_000
"""After how many new objects cyclic garbage is looked for: most commands end before that.

With Python's own threshold a sixth of a batch's time and a twenty-fifth of a start would go there.
"""


def main() -> None:
    """Run the command line of this process and end it with the command's exit code."""
    signals = __import__("_signal")  # the module signal is not there yet, and takes its time
    _on_interrupt(signals, _leave_interrupted)
    import gc
    import os
    import sys

    sys.unraisablehook = _heed_lost_interrupt
    gc.set_threshold(_MANY_OBJECTS, *gc.get_threshold()[1:])
    if os.getpid() == 1:
        _heed_stop()
    from queuectl.cli.app import run_process
    from queuectl.system.terminal_stops import be_a_command

    be_a_command()

    try:
        _on_interrupt(signals, signals.default_int_handler)  # a command may do something about it
        code = run_process(sys.argv[1:])
    except KeyboardInterrupt:
        code = _INTERRUPTED
    _on_interrupt(signals, _leave_interrupted)
    _leave(code)


def _on_interrupt(signals: Any, handler: Any) -> None:
    """Say what Ctrl-C does, unless whoever started this process has it ignored."""
    if signals.getsignal(signals.SIGINT) != signals.SIG_IGN:
        signals.signal(signals.SIGINT, handler)


def _leave_interrupted(_number: int = 0, _frame: FrameType | None = None) -> NoReturn:
    """End this process at once, when there is nothing yet, or no more, to be ended in order."""
    import os

    if os.isatty(2):
        os.write(2, b"\n")
    os._exit(_INTERRUPTED)


def _heed_lost_interrupt(lost: Any) -> None:
    """Heed Ctrl-C also where Python would only tell of it: where nothing can be raised."""
    import sys

    if issubclass(lost.exc_type, KeyboardInterrupt):
        _leave_interrupted()
    sys.__unraisablehook__(lost)


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
