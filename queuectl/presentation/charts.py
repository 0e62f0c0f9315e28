"""Small charts and lengths of time as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_LEVELS = " ▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], room: int | None = None) -> str:
    """Return one bar for each of the last `room` values, the largest of full height.

    What is 0 is left blank; whatever is more can be seen.
    """
    shown = values if room is None else values[-room:]
    most = max(shown, default=0) or 1
    return "".join(_LEVELS[math.ceil(value * 8 / most)] for value in shown)


def length(seconds: float | None) -> str:
    """Return a length of time with two digits that count: `1.3 ms`, `45 s`, `2.5 h`."""
    if seconds is None:
        return ""
    for size, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds * 1000)} ms"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
