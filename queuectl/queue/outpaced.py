"""Beginning anew when somebody else was faster with a compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from queuectl.domain.errors import StoreUnavailable

_MAX_TRIES = 50

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Outpaced(StoreUnavailable):
    """Somebody else was faster than a compare-and-set; `what` names what was to be changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} changes too fast; try again")


def retry_on_conflict(attempt: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a function begin anew when it raises Outpaced, which is passed on after 50 tries."""

    @wraps(attempt)
    def retried(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for _ in range(_MAX_TRIES - 1):
            try:
                return attempt(*args, **kwargs)
            except Outpaced:
                continue
        return attempt(*args, **kwargs)

    return retried
