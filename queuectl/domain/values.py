"""Records that are compared by what they hold and are never changed once they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_kinds):
        """Stand in for what only type checkers read."""
        return lambda decorator: decorator


T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass that type checkers take for a frozen one.

    Freezing it at run time would make each instance ten times as dear, as every field is then
    set through `object.__setattr__`; a worker makes a dozen of them for each job.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
