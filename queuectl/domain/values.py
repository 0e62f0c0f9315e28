"""Records that are compared by what they hold and are never changed once they are made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:

    def dataclass_transform(*, frozen_default: bool) -> Callable[[T], T]:  # noqa: ARG001  # read by type checkers
        """Leave a decorator as it is, where Python does not know this mark yet."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass that type checkers take for a frozen one.

    Freezing it at run time would make each instance ten times as dear, as every field is then
    set through `object.__setattr__`; a worker makes a dozen of them for each job.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
