"""A sweep makes many jobs of one command and the values for its placeholders."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidInput
from queuectl.domain.sweep import Axis
from queuectl.domain.sweep_words import array_axis, param_axis
from tests.domain.sweeps import axis, commands, sweep

NUMBERS = Axis(("index",), ranges=(range(1, 4),))
FILES = axis("1", "a/b.tar.gz", "c")


@pytest.mark.parametrize(
    ("text", "numbers", "at_once"),
    [
        ("1-4", [1, 2, 3, 4], None),
        ("1-9:2", [1, 3, 5, 7, 9], None),
        ("1,3,7-9", [1, 3, 7, 8, 9], None),
        ("0-0", [0], None),
        ("7", [7], None),
        (" 1-2 , 5 ", [1, 2, 5], None),
        ("1-10:4%8", [1, 5, 9], 8),
    ],
)
def test_an_array_is_numbers_ranges_and_steps(
    text: str, numbers: list[int], at_once: int | None
) -> None:
    found, most = array_axis(text)
    assert [found.at(place) for place in range(found.size)] == [(str(each),) for each in numbers]
    assert most == at_once


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5-1", "counts down; did you mean 1-5?"),
        ("1-5:0", "step 0"),
        ("", "'' is no range"),
        ("a", "'a' is no range"),
        ("1-", "'1-' is no range"),
        ("-3", "'-3' is no range"),
        ("1--3", "'1--3' is no range"),
        ("1..3", "'1..3' is no range"),
        ("1,,2", "'' is no range"),
        ("1-3%", "how many run at once"),
        ("1-3%0", "how many run at once"),
        ("1-3%x", "how many run at once"),
        ("١-٣", "is no range"),
        ("1" * 16, "is no range"),
    ],
)
def test_what_is_no_array_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        array_axis(text)
    assert why in f"{refused.value}; {refused.value.hint}"


def test_a_huge_array_takes_no_room_and_knows_its_last_number() -> None:
    found, _ = array_axis("1-100000000000000,5")
    assert found.size == 10**14 + 1
    assert found.at(10**14 - 1) == ("100000000000000",)
    assert found.at(10**14) == ("5",)
    made = sweep(("job", "{}"), found, axis("x", "a", "b"))
    assert made.total == 2 * (10**14 + 1)
    assert made.at(made.total).command == ("job", "5")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=0.1,0.2", ["0.1", "0.2"]),
        ("lr=", [""]),
        ("lr=a,,b,", ["a", "", "b", ""]),
        ('lr="a,b",c', ["a,b", "c"]),
        ('lr="say ""hi""",""', ['say "hi"', ""]),
        ('lr=5" pipe,x', ['5" pipe', "x"]),
        ("lr= a ,b", [" a ", "b"]),
        ("lr=x=y", ["x=y"]),
        ('lr="two\nlines",z', ["two\nlines", "z"]),
    ],
)
def test_a_parameter_has_values_with_commas_between_and_quotes_keep_one(
    text: str, values: list[str]
) -> None:
    assert param_axis(text) == axis("lr", *values)


@pytest.mark.parametrize(
    "text", ["lr", "=1", "1=a", "a b=1", "a.b=1", 'lr="a', 'lr="a"b', "é=1", f"{'n' * 65}=1"]
)
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        param_axis(text)


@given(st.lists(st.lists(st.text(max_size=3), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_product_is_what_nested_loops_give_the_last_axis_fastest(
    columns: list[list[str]],
) -> None:
    columns = [[value.replace("\0", "") for value in column] for column in columns]
    columns = [[value.encode(errors="ignore").decode() for value in column] for column in columns]
    axes = [axis(f"p{number}", *column) for number, column in enumerate(columns)]
    made = sweep(("job", *(f"{{p{number}}}" for number in range(len(axes)))), *axes)
    wanted = [("job", *values) for values in product(*columns)]
    assert [member.command for member in made.members()] == wanted
    assert [member.number for member in made.members()] == list(range(1, len(wanted) + 1))
    assert made.total == len(wanted)
    assert [tuple(value for _, value in made.params(n)) for n in range(1, made.total + 1)] == [
        values[1:] for values in wanted
    ]


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("{}", "a/b.tar.gz"),
        ("{.}", "a/b.tar"),
        ("{/}", "b.tar.gz"),
        ("{//}", "a"),
        ("{/.}", "b.tar"),
        ("{1}", "a/b.tar.gz"),
        ("{1/.}", "b.tar"),
        ("{#}", "1"),
        ("x{}y{#}", "xa/b.tar.gzy1"),
        ("{%}", "{%}"),
        ("{2}", "{2}"),
        ("{name}", "{name}"),
        ("${1}", "${1}"),
        ("{{1}}", "{{1}}"),
        ("{{.}}", "{{.}}"),
        ("{{1}", "{a/b.tar.gz"),
        ('{"a":{1}}', '{"a":a/b.tar.gz}'),
        ("{print $1}", "{print $1}"),
        ("{a,b}", "{a,b}"),
        ("{ 1 }", "{ 1 }"),
        ("{01}", "{01}"),
        ("{#.}", "{#.}"),
    ],
)
def test_a_placeholder_becomes_its_value_and_other_braces_stay(word: str, becomes: str) -> None:
    assert sweep(("job", word), FILES).at(1).command == ("job", becomes)


@pytest.mark.parametrize(
    ("value", "directory", "stem", "last"),
    [
        ("c", ".", "c", "c"),
        ("/c", "/", "/c", "c"),
        ("a/b/c.d/e", "a/b/c.d", "a/b/c.d/e", "e"),
        ("", ".", "", ""),
        ("/", "/", "/", ""),
        ("x//y.z", "x", "x//y", "y.z"),
    ],
)
def test_the_parts_of_a_path_are_those_of_gnu_parallel(
    value: str, directory: str, stem: str, last: str
) -> None:
    made = sweep(("job", "{//}", "{.}", "{/}"), axis("1", value))
    assert made.at(1).command == ("job", directory, stem, last)


def test_braces_alone_are_all_values_of_sources_or_else_the_number_of_an_array() -> None:
    two = axis("2", "x")
    assert sweep(("job", "{}", "in-{}"), FILES, two).at(3 - 1).command == (
        "job", "c", "x", "in-c x",
    )  # fmt: skip
    assert sweep(("job", "{}", "{index}"), NUMBERS).at(2).command == ("job", "2", "2")
    assert sweep(("job", "{}", "{index}"), NUMBERS, two).at(2).command == ("job", "x", "2")
    assert sweep(("job", "{}"), axis("lr", "1")).at(1).command == ("job", "{}")


def test_rows_keep_values_together() -> None:
    rows = Axis(("a", "b"), (("1", "x"), ("2", "y")))
    assert commands(("job", "{a}{b}"), rows, axis("c", "-", "+")) == [
        ("job", "1x"), ("job", "1x"), ("job", "2y"), ("job", "2y"),
    ]  # fmt: skip


def test_the_place_of_the_slot_is_known_and_a_value_that_looks_like_it_stays() -> None:
    member = sweep(("job", "{f}-{%}-{%}", "{%}"), axis("f", "{%}")).at(1)
    assert member.command == ("job", "{%}-{%}-{%}", "{%}")
    assert member.slot_places == ("1:4", "1:8", "2:0")


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ([axis("lr", "1"), axis("lr", "2")], "the parameter 'lr' is given twice"),
        ([axis("lr", "1"), axis("LR", "2")], "would both be $QUEUECTL_PARAM_LR"),
        ([axis("a-b", "1"), axis("a_b", "2")], "would both be $QUEUECTL_PARAM_A_B"),
        ([axis("lr")], "there is no value for lr"),
        ([axis("lr", "a\0")], "must not contain a NUL byte"),
        ([axis("lr", "\ud800")], "must be valid UTF-8"),
        ([axis("lr", "x" * 131_000)], "more than 130,971 bytes"),
    ],
)
def test_axes_that_cannot_be_are_refused(axes: list[Axis], why: str) -> None:
    with pytest.raises(InvalidInput, match=why.replace("$", r"\$")):
        sweep(("job",), *axes)


def test_what_looks_like_a_placeholder_and_what_has_none_can_be_told() -> None:
    made = sweep("job {lr} {lrr} ${bs} $QUEUECTL_PARAM_SEED", axis("lr", "1"), axis("bs", "1"),
                 axis("seed", "1"))  # fmt: skip
    assert made.unknown() == ["{lrr}"]
    assert made.unused() == ["bs"]


def test_a_job_of_a_batch_has_its_number_its_values_and_texts_of_its_own() -> None:
    made = sweep(("job", "{f}"), axis("f", "a", "b"), unique="u-{f}", labels=["l-{f}", "x"],
                 input="{f}.txt", priority=3)  # fmt: skip
    spec = made.request(2, "night").spec
    assert (spec.id, spec.batch, spec.batch_index, spec.params) == (
        "night-2", "night", 2, (("f", "b"),),
    )  # fmt: skip
    assert (spec.unique, spec.labels, spec.input, spec.priority) == (
        "u-b",
        ("l-b", "x"),
        "b.txt",
        3,
    )


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_job_that_is_not_there_is_an_error(number: int) -> None:
    with pytest.raises(IndexError):
        sweep(("job", "{}"), NUMBERS).at(number)
