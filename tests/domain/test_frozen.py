"""Records: compared by what they hold, and finished as dataclasses when they are first needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, fields, is_dataclass, replace
from threading import Barrier
from typing import Any

import pytest

from queuectl.domain.frozen import fresh, frozen, line, lines_of
from queuectl.domain.frozen import replace as changed

THREADS = 8


@frozen
class Point:
    """A record with a field of each kind."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y


def test_records_are_compared_by_what_they_hold() -> None:
    assert Point(1, 2) == Point(1, y=2)
    assert Point(1, 2) != Point(2, 1)
    like_it: object = (1, 2)
    assert Point(1, 2) != like_it
    assert repr(Point(1)) == "Point(x=1, y=0, names=[])"
    assert Point(3, 4).sum == 7


def test_a_record_takes_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Point(1).z = 2  # type: ignore[attr-defined]  # that is what is tried


def test_each_record_has_defaults_of_its_own() -> None:
    first, second = Point(1), Point(1)
    first.names.append("a")
    assert second.names == []


def test_a_record_that_was_never_made_is_a_dataclass_already() -> None:
    fresh = _record()
    assert is_dataclass(fresh)
    assert [each.name for each in fields(fresh)] == ["x", "y"]


def test_a_changed_copy_leaves_the_record_as_it_was() -> None:
    point = Point(1, 2)
    assert replace(point, x=5) == Point(5, 2)
    assert point == Point(1, 2)


@frozen
class Shape:
    """A record whose fields are declared by lines."""

    name: str
    corners: int = line(3, unit="corners")
    points: list[Point] = fresh(list)
    lines: int | None = None


def test_records_are_alike_however_many_were_made_before() -> None:
    shapes = [Shape("a", 4, points=[]) for _ in range(10)]
    assert len({repr(each) for each in shapes}) == 1
    assert all(each == shapes[0] for each in shapes)
    assert [(each.corners, each.points) for each in map(Shape, "abcdefgh")] == [(3, [])] * 8
    assert Shape("b").points is not Shape("b").points


def test_what_a_line_says_of_a_field_is_known_without_a_record() -> None:
    assert {name: each.known for name, each in lines_of(Shape).items()} == {
        "corners": {"unit": "corners"},
        "points": {},
    }
    assert fields(Shape)[1].metadata == {"unit": "corners"}


def test_a_changed_copy_needs_no_dataclass_and_refuses_what_is_no_field() -> None:
    assert changed(Shape("a"), corners=5) == Shape("a", 5)
    with pytest.raises(TypeError, match="side"):
        changed(Shape("a"), side=1)  # type: ignore[call-arg]  # that is what is tried


@pytest.mark.parametrize("named", [{}, {"name": "a", "side": 1}])
def test_wrong_names_are_refused_by_every_record_of_a_class(named: dict[str, Any]) -> None:
    for _ in range(6):
        with pytest.raises(TypeError):
            Shape(**named)
        with pytest.raises(TypeError):
            Shape("a", 1, [], None, 2)  # type: ignore[call-arg]  # that is what is tried
        with pytest.raises(TypeError):
            Shape("a", name="b")  # type: ignore[misc]  # that is what is tried


def test_a_wrong_argument_is_refused_from_the_first_record_on() -> None:
    fresh = _record()
    for _ in range(2):
        with pytest.raises(TypeError, match="required positional argument: 'x'"):
            fresh()


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_make_the_first_records_at_once_get_whole_ones() -> None:
    for _ in range(50):
        fresh, start = _record(), Barrier(THREADS)

        def make(
            number: int, fresh: Callable[..., object] = fresh, start: Barrier = start
        ) -> object:
            start.wait()
            return fresh(number).y  # type: ignore[attr-defined]  # a class made just now

        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(make, range(THREADS))) == [[]] * THREADS


def _record() -> Callable[..., object]:
    @frozen
    class Fresh:
        x: int
        y: list[int] = field(default_factory=list)

    return Fresh
