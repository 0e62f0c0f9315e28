"""Records that are compared by what they hold and are never changed once they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(*, frozen_default: bool) -> Callable[[T], T]:  # noqa: ARG001  # read by type checkers
        """Leave a decorator as it is; Python knows this mark from 3.11 on."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass that type checkers take for a frozen one.

    Freezing it at run time would make each instance ten times as dear, as every field is then
    set through `object.__setattr__`; a worker makes a dozen of them for each job.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
