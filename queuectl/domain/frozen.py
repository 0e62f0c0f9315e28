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


def _hash(self: Any) -> int:
    return hash(tuple(getattr(self, name) for name in self.__match_args__))


def _repr(self: Any) -> str:
    values = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{self.__class__.__qualname__}({', '.join(values)})"


_SHARED = {"__eq__": _is_equal, "__hash__": _hash, "__repr__": _repr}
"""What all records have in common; a dataclass would compile these anew for each class."""

_UNWANTED = ("__dict__", "__weakref__")
"""What a class has because it was made without slots."""

_FIELDS, _INIT = "__dataclass_fields__", "__init__"
"""What a dataclass has that a command may never need."""


class _Unfinished:
    """A record's class on its way to a dataclass: finished when it is first made or asked.

    To finish one takes half a millisecond, and a command meets dozens that it never makes.
    """

    def __init__(self, cls: type, record: type) -> None:
        self._cls, self._record = cls, record

    def __get__(self, record: object, _owner: type) -> Any:
        """Return the fields, as `dataclasses` looks for them."""
        self.finish()
        return vars(self._record)[_FIELDS]

    def first_init(self) -> Callable[..., None]:
        """Return an `__init__` that puts the finished one in its own place."""

        def init(record: Any, *values: object, **named: object) -> None:
            self.finish()
            record.__init__(*values, **named)

        return init

    def finish(self) -> None:
        """Give the class what makes it a dataclass.

        That is made of a copy, so that two threads which do so at once do the same twice.
        """
        copy = type(self._cls.__name__, self._cls.__bases__, dict(vars(self._cls)))
        whole = vars(dataclass(repr=False, eq=False)(copy))
        for name in (_FIELDS, _INIT):
            setattr(self._record, name, whole[name])


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots that type checkers take for a frozen one.

    Freezing it at run time would make each instance ten times as dear, as every field is then
    set through `object.__setattr__`; a worker makes a dozen of them for each job.
    """
    names = tuple(cls.__annotations__)
    own = {name: value for name, value in vars(cls).items() if name not in (*names, *_UNWANTED)}
    namespace = {**_SHARED, **own, "__slots__": names, "__match_args__": names}
    record: type[T] = type(cls.__name__, cls.__bases__, namespace)
    unfinished = _Unfinished(cls, record)
    record.__qualname__ = cls.__qualname__
    setattr(record, _FIELDS, unfinished)
    setattr(record, _INIT, unfinished.first_init())
    return record
