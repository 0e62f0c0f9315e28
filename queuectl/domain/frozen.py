"""Records that are compared by what they hold and are never changed once they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

_FEW = 3
"""So many records are made in the slow way before their class is finished."""


class Line:
    """The default of a field, or what makes one for each record, and what else is known of it."""

    __slots__ = ("default", "factory", "known")

    def __init__(
        self, default: Any, factory: Callable[[], Any] | None = None, **known: Any
    ) -> None:
        self.default = default
        self.factory = factory
        self.known = known

    def made(self) -> Any:
        """Return the default of one record."""
        return self.factory() if self.factory else self.default


def line(default: object, **known: object) -> Any:
    """Return a field's default together with what is known of it; see `lines_of`."""
    return Line(default, None, **known)


def fresh(factory: Callable[[], object]) -> Any:
    """Return a field's default that is made for each record anew."""
    return Line(None, factory)


def lines_of(record: type) -> dict[str, Line]:
    """Return the fields of a class that were declared by `line`, in their order."""
    lines: dict[str, Line] = vars(record)["__lines__"]
    return lines


class _Unfinished:
    """A record's class on its way to a dataclass: finished when it is made often, or asked.

    To finish one takes half a millisecond, and a command meets dozens that it never makes, or
    makes once.
    """

    record: type

    def __init__(self, cls: type, lines: dict[str, Line]) -> None:
        self._cls, self._lines = cls, lines
        self._left = _FEW
        values = [vars(cls).get(name) for name in cls.__annotations__]
        # whether there is nothing about the fields that only `dataclasses` knows
        self._is_plain = not (
            any(hasattr(base, "__match_args__") for base in cls.__bases__)
            or any(hasattr(value, "default_factory") for value in values)
        )

    def __get__(self, record: object, _owner: type) -> Any:
        """Return the fields, as `dataclasses` looks for them."""
        fields = self._as_dataclass()[_FIELDS]
        setattr(self.record, _FIELDS, fields)
        return fields

    def first_init(self) -> Callable[..., None]:
        """Return an `__init__` that puts the finished one in its own place in the end."""

        def init(record: Any, *values: object, **named: object) -> None:
            if not (self._left and self._is_plain and self._fill(record, values, named)):
                setattr(self.record, _INIT, self._init())
                record.__init__(*values, **named)

        return init

    def _fill(self, record: Any, values: tuple[object, ...], named: dict[str, object]) -> bool:
        """Give a record its values; not if that would be an error, which others word better."""
        self._left -= 1
        names = record.__match_args__
        given = dict(zip(names, values, strict=False))
        if len(given) < len(values) or not given.keys().isdisjoint(named):
            return False
        given.update(named)
        for name in names:
            if name in given:
                value = given.pop(name)
            elif name in self._lines:
                value = self._lines[name].made()
            elif name in vars(self._cls):
                value = vars(self._cls)[name]
            else:
                return False
            setattr(record, name, value)
        return not given

    def _init(self) -> Callable[..., None]:
        """Return the `__init__` of a finished class, as `dataclasses` would write it."""
        if not self._is_plain:
            init: Callable[..., None] = self._as_dataclass()[_INIT]
            return init
        lines, values, given, sets = self._lines, vars(self._cls), ["self"], []
        for name in self._cls.__annotations__:
            is_fresh = name in lines and lines[name].factory is not None
            given.append(f"{name}=_{name}" if name in values else name)
            made = f"__lines__['{name}'].made() if {name} is _{name} else {name}"
            sets.append(f"    self.{name} = {made if is_fresh else name}")
        defaults = {
            f"_{name}": lines[name].made() if name in lines else values[name]
            for name in self._cls.__annotations__
            if name in values
        }
        namespace: dict[str, Any] = {"__lines__": lines, **defaults}
        exec(f"def __init__({', '.join(given)}):\n" + "\n".join(sets), namespace)
        init = namespace[_INIT]
        init.__qualname__ = f"{self._cls.__qualname__}.{_INIT}"
        return init

    def _as_dataclass(self) -> Mapping[str, Any]:
        """Return what `dataclasses` makes of the class.

        That is made of a copy, so that two threads which do so at once do the same twice.
        """
        from dataclasses import dataclass, field

        namespace = dict(vars(self._cls))
        for name, line in self._lines.items():
            kind = {"default_factory": line.factory} if line.factory else {"default": line.default}
            namespace[name] = field(**kind, metadata=line.known)
        copy = type(self._cls.__name__, self._cls.__bases__, namespace)
        return vars(dataclass(repr=False, eq=False)(copy))


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots that type checkers take for a frozen one.

    Freezing it at run time would make each instance ten times as dear, as every field is then
    set through `object.__setattr__`; a worker makes a dozen of them for each job.
    """
    names = tuple(cls.__annotations__)
    values = vars(cls)
    lines = {name: values[name] for name in names if isinstance(values.get(name), Line)}
    unfinished = _Unfinished(cls, lines)
    own = {name: value for name, value in values.items() if name not in (*names, *_UNWANTED)}
    namespace = {
        **_SHARED,
        **own,
        "__slots__": names,
        "__match_args__": names,
        "__lines__": lines,
        _FIELDS: unfinished,
        _INIT: unfinished.first_init(),
    }
    record: type[T] = type(cls.__name__, cls.__bases__, namespace)
    record.__qualname__ = cls.__qualname__
    unfinished.record = record
    return record


if TYPE_CHECKING:
    from dataclasses import replace as replace
else:

    def replace(record: T, /, **changed: object) -> T:
        """Return a record with other values, as `dataclasses.replace` does, which takes loading."""
        names = record.__match_args__
        values = [changed.pop(name) if name in changed else getattr(record, name) for name in names]
        return record.__class__(*values, **changed)
