"""Small charts and lengths of time as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_LEVELS = "▁▂▃▄▅▆▇█"
_NOTHING = " "


def sparkline(values: Sequence[float]) -> str:
    """Return one bar for each value, the largest of full height; what is 0 is left blank."""
    most = max(values, default=0)
    return "".join(
        _LEVELS[min(int(value / most * len(_LEVELS)), len(_LEVELS) - 1)] if value > 0 else _NOTHING
        for value in values
    )


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
