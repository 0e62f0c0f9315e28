"""Records that are compared by what they hold and are never changed once they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(*, frozen_default: bool) -> Callable[[T], T]:  # noqa: ARG001  # read by type checkers
        """Leave a decorator as it is; Python knows this mark from 3.11 on."""
        return lambda decorator: decorator


def _is_equal(self: Any, other: Any) -> bool:
    if other.__class__ is not self.__class__:
        return False
    return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)


def _hashed(self: Any) -> int:
    return hash(tuple(getattr(self, name) for name in self.__match_args__))


def _shown(self: Any) -> str:
    told = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{self.__class__.__qualname__}({', '.join(told)})"


_SHARED = {"__eq__": _is_equal, "__hash__": _hashed, "__repr__": _shown}
"""What all records have in common; a dataclass would compile these anew for each class."""


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass that type checkers take for a frozen one.

    Freezing it at run time would make each instance ten times as dear, as every field is then
    set through `object.__setattr__`; a worker makes a dozen of them for each job.
    """
    missing = {name: method for name, method in _SHARED.items() if name not in vars(cls)}
    made = dataclass(slots=True, repr=False, eq=False)(cls)
    for name, method in missing.items():
        setattr(made, name, method)
    return made
