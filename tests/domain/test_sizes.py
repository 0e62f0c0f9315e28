"""Amounts of memory, as people write and read them."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import check_memory
from queuectl.domain.sizes import parse_size, size_text


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("2G", 2**31), ("2g", 2**31), ("2GB", 2**31), ("2 GiB", 2**31), ("1.5G", 3 * 2**29),
        ("512M", 2**29), ("64k", 2**16), ("3T", 3 * 2**40), ("1048576", 2**20), (2**20, 2**20),
        ("10B", 10), ("0", 0),
    ],
)  # fmt: skip
def test_a_size_has_a_unit_of_powers_of_1024_or_is_in_bytes(written: object, size: int) -> None:
    assert parse_size("memory", written) == size


@pytest.mark.parametrize(
    "wrong", ["", "G", "2X", "-1G", "1e3", "1,5G", "2GG", "½G", "inf", "nan", "9999999T", True, []]
)
def test_what_is_no_size_is_refused_with_an_example(wrong: object) -> None:
    with pytest.raises(InvalidInput, match=r"memory .* is not a size") as refused:
        parse_size("memory", wrong)
    assert "2G" in (refused.value.hint or "")


def test_less_than_a_mebibyte_is_taken_for_a_forgotten_unit() -> None:
    assert check_memory("memory", 0) == 0
    with pytest.raises(InvalidInput, match="memory '2' is less than any command needs"):
        check_memory("memory", "2")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 KB"), (4096, "4 KB"), (999 * 1024, "999 KB"), (2**20, "1 MB"), (2**31, "2 GB"),
        (3 * 2**29, "1.5 GB"), (640 * 2**20, "640 MB"), (2**30 - 1, "1 GB"), (5 * 2**40, "5 TB"),
    ],
)  # fmt: skip
def test_people_read_a_size_in_its_largest_unit(size: int, text: str) -> None:
    assert size_text(size) == text
