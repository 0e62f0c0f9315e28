"""Named resources: amounts and devices as people write them."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.domain.resources import (
    GPU_MEMORY,
    amount_text,
    as_dict,
    check_needs,
    parse_amount,
    parse_capacities,
    parse_capacity,
    supply_of,
)


@pytest.mark.parametrize(
    ("text", "thousandths", "kept"),
    [
        ("2", 2_000, "2"),
        (2, 2_000, "2"),
        ("0.5", 500, "0.5"),
        (0.25, 250, "0.25"),
        ("12G", 12 * 2**30 * 1000, "12G"),
        ("12gb", 12 * 2**30 * 1000, "12G"),
        ("12 GiB", 12 * 2**30 * 1000, "12G"),
        ("1.5Ti", 3 * 2**39 * 1000, "1.5T"),
        ("100k", 100 * 2**10 * 1000, "100K"),
    ],
)
def test_an_amount_is_read_in_its_unit_and_kept_in_it(
    text: object, thousandths: int, kept: str
) -> None:
    assert parse_amount("it", text) == thousandths
    assert check_needs("needs", {"it": text}) == (("it", kept),)


@pytest.mark.parametrize("text", ["", "-1", "many", "1.2345", "9" * 17, True, None, [1], "2X"])
def test_what_is_no_amount_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        parse_amount("it", text)


def test_fractions_add_up_exactly() -> None:
    assert amount_text(sum(parse_amount("it", "0.1") for _ in range(10))) == "1"
    assert amount_text(parse_amount("it", "512M"), "60G") == "0.5G"


def test_needs_are_kept_by_name_and_what_nothing_is_needed_of_is_left_out() -> None:
    asked = {"memory": "12G", "gpus": 2, "licence": 0, "gpu_memory": "10G"}
    assert check_needs("needs", asked) == (("gpu", "2"), ("gpu-memory", "10G"), ("memory", "12G"))


@pytest.mark.parametrize(
    "needs", [{"gpu": "0.5"}, {"two words": 1}, {"": 1}, ["gpu"], "gpu", "gpu=1,gpu=2"]
)
def test_needs_that_cannot_be_meant_are_refused(needs: object) -> None:
    with pytest.raises(InvalidInput):
        check_needs("needs", needs)


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("gpu=0,1,2,3", ("gpu", "0,1,2,3")),
        ("gpu=0-3", ("gpu", "0,1,2,3")),
        ("gpu=0", ("gpu", "0")),
        ("gpu=2,", ("gpu", "2")),
        ("gpu=GPU-1a,GPU-2b", ("gpu", "GPU-1a,GPU-2b")),
        ("port=8001-8003", ("port", "8001,8002,8003")),
        ("memory=60gib", ("memory", "60G")),
        ("licence=0.5", ("licence", "0.5")),
        ("gpu-memory=24G", (GPU_MEMORY, "24G")),
        ("gpu-memory=0:24G,1:48g", (GPU_MEMORY, "0:24G,1:48G")),
    ],
)
def test_what_a_host_has_is_an_amount_or_devices(word: str, kept: tuple[str, str]) -> None:
    assert parse_capacity(word) == kept


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("gpu=4", "may be 4 devices, or the device 4"),
        ("gpu", "must be NAME=AMOUNT or NAME=DEVICES"),
        ("memory=lots", "must be an amount"),
        ("gpu-memory=0:", "must be DEVICE:AMOUNT"),
        ("gpu=a b", "no name of a device"),
    ],
)
def test_what_a_host_cannot_have_is_refused(word: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_capacity(word)


def test_a_resource_is_declared_once_and_memory_only_of_gpus() -> None:
    with pytest.raises(InvalidInput, match="given twice"):
        parse_capacities(["gpu=0", "gpu=0-1"])
    with pytest.raises(InvalidInput, match="none is named"):
        parse_capacities(["gpu-memory=24G"])


def test_gpus_may_be_named_by_their_memory_alone() -> None:
    supply = supply_of(parse_capacities(["gpu-memory=0:24G,1:48G"]))
    assert supply.devices == {"gpu": ("0", "1")}
    assert supply.memory["1"] == 2 * supply.memory["0"]


def test_what_is_held_is_told_as_lists_of_devices_and_amounts() -> None:
    units = (("gpu", "[0,2]"), ("gpu-memory", "1:10G"), ("memory", "12G"))
    assert as_dict(units) == {
        "gpu": ["0", "2"],
        "gpu-memory": {"1": "10G"},
        "memory": "12G",
    }
