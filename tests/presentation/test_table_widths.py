"""Tables of any cells on terminals of any width: never an error, never a row that is too wide."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from queuectl.presentation.layout import GAP, arrange, fit, width

_WIDTHS = st.one_of(st.integers(0, 20), st.sampled_from([42, 60, 80, 128, 300]))
_CELLS = st.builds(lambda char, size: char * size, st.sampled_from("ix漢"), _WIDTHS)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], list[int]]:
    """Cells of one to fifteen columns, and how readily each of these gives way."""
    count = draw(st.integers(1, 15))
    row = st.lists(_CELLS, min_size=count, max_size=count)
    yields = st.lists(st.integers(0, 9), min_size=count, max_size=count)
    return draw(st.lists(row, min_size=1, max_size=4)), draw(yields)


@settings(max_examples=400, deadline=None)
@given(tables(), st.integers(20, 200))
@example(([["i" * 42, "idle", "job", "vm", "now", "w" * 20]], [0, 0, 0, 2, 3, 4]), 80)
@example(([["i"] * 15], [0] * 15), 20)
def test_whatever_the_cells_a_row_fits_the_terminal(
    table: tuple[list[list[str]], list[int]], room: int
) -> None:
    lines, yields = table
    widths = arrange(lines, yields, room)
    assert list(widths) == sorted(widths)
    assert min(widths) == 0 or yields[0]
    for line in lines:
        row = GAP.join(fit(line[at], wide) for at, wide in widths.items())
        assert width(row) <= room
    natural = [max(map(width, cells)) for cells in zip(*lines, strict=True)]
    assert all(wide <= natural[at] for at, wide in widths.items())
    if sum(natural) + len(GAP) * (len(natural) - 1) <= room:
        assert list(widths.values()) == natural


@settings(max_examples=200, deadline=None)
@given(tables(), st.integers(20, 200))
def test_no_column_is_left_out_where_all_can_still_be_read(
    table: tuple[list[list[str]], list[int]], room: int
) -> None:
    lines, yields = table
    least = [10 if each else 20 for each in yields]
    natural = [max(map(width, cells)) for cells in zip(*lines, strict=True)]
    readable = [min(pair) for pair in zip(least, natural, strict=True)]
    if sum(readable) + len(GAP) * (len(readable) - 1) <= room:
        assert len(arrange(lines, yields, room)) == len(readable)


@settings(max_examples=200, deadline=None)
@given(tables(), st.integers(20, 200))
def test_what_gives_way_does_so_in_its_order(
    table: tuple[list[list[str]], list[int]], room: int
) -> None:
    lines, yields = table
    kept = arrange(lines, yields, room)
    gone = [at for at in range(len(yields)) if at not in kept and yields[at]]
    stays = [yields[at] for at in kept if yields[at]]
    assert not gone or not stays or min(yields[at] for at in gone) >= max(stays)


def test_no_room_is_left_empty_while_a_cell_is_cut() -> None:
    line = ["i" * 12, "pending", "in 5s", "scheduled for 14:30:00", "c" * 300]
    for room in range(62, 200):
        widths = arrange([line], [0, 3, 4, 0, 1], room)
        assert sum(widths.values()) + len(GAP) * (len(widths) - 1) == room
        assert len(widths) == 5
