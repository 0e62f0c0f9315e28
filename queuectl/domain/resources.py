"""Named resources: what a job needs of them, what a host or the fleet has, and what a run holds.

All of them are pairs of a name and a text, as people write them. Amounts are reckoned in whole
thousandths, so that nothing is lost where fractions are added up and taken away again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from queuectl.domain.errors import InvalidInput, shown
from queuectl.domain.frozen import frozen
from queuectl.domain.sizes import UNITS

Pairs = tuple[tuple[str, str], ...]

GPU, GPU_MEMORY = "gpu", "gpu-memory"
"""Devices that are handed out whole, and the memory of one that several jobs may share."""

_ALIASES = {"gpus": GPU, "gpu_memory": GPU_MEMORY}
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_DEVICE = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"
_AMOUNT = r"(\d{1,16}(?:\.\d{1,3})?)\s*(?:([KMGT])(?:i?B?)?)?"
_MOST = 2**50
_MOST_DEVICES = 1024
_WHOLE = 1000
"""How many parts one of anything has."""


@frozen
class Supply:
    """What one host has: amounts by name, devices by name, the memory of each GPU."""

    amounts: Mapping[str, int]
    devices: Mapping[str, tuple[str, ...]]
    memory: Mapping[str, int]


NOTHING = Supply({}, {}, {})


def check_name(name: object) -> str:
    """Return the name of a resource. Raises InvalidInput for what cannot be one."""
    if isinstance(name, str) and re.fullmatch(_NAME, name):
        return _ALIASES.get(name, name)
    raise InvalidInput(
        f"{shown(name)} is no name of a resource: 1 to 64 letters, digits and . _ -, beginning "
        "with a letter or a digit"
    )


def parse_amount(name: str, text: object) -> int:
    """Return an amount in thousandths: `2`, `0.5`, `12G`, `512Mi`. Raises InvalidInput.

    K, M, G and T are powers of 1024, with or without an i or a B behind.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        text = f"{text:.3f}".rstrip("0").rstrip(".") if isinstance(text, float) else str(text)
    found = re.fullmatch(_AMOUNT, text.strip(), re.IGNORECASE) if isinstance(text, str) else None
    if found is None:
        is_list = name == GPU and isinstance(text, str) and "," in text
        raise InvalidInput(
            f"{name} must be an amount such as 2, 0.5 or 12G, of at most 3 decimals, "
            f"not {shown(text)}",
            hint=f"which there are: queuectl worker start --resource gpu={text}" if is_list else "",
        )
    whole, _, part = found[1].partition(".")
    size = UNITS[(found[2] or "").upper()]
    amount = (int(whole) * _WHOLE + int(part.ljust(3, "0"))) * size
    if amount > _MOST * _WHOLE:
        raise InvalidInput(f"{name} must be at most {_MOST:,}, not {shown(text)}")
    return amount


def amount_text(amount: int, like: str = "") -> str:
    """Return an amount as people write it, in the unit of another one (`60G`) where it has one."""
    unit = like[-1:] if like[-1:] in UNITS else ""
    number = f"{amount / (_WHOLE * UNITS[unit]):.3f}".rstrip("0").rstrip(".")
    return f"{number}{unit if number != '0' else ''}"


def check_needs(field: str, value: object) -> Pairs:
    """Return what a job needs, of an object of names and amounts, or of words such as `gpu=2`.

    What it needs nothing of is left out. Raises InvalidInput.
    """
    if isinstance(value, (str, list, tuple)):
        value = _from_words(field, value.split(",") if isinstance(value, str) else value)
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"{field} must be an object of names and amounts, not {shown(value)}",
            hint='{"gpu": 2, "memory": "12G"}, or of one of them needs.gpu=2',
        )
    needs: dict[str, str] = {}
    for each, text in value.items():
        name = check_name(each)
        amount = parse_amount(name, text)
        if name == GPU and amount % _WHOLE:
            raise InvalidInput(
                f"{name} must be a whole number of devices, not {shown(text)}",
                hint="--gpu-memory 10G lets several jobs share a device",
            )
        if amount:
            needs[name] = _as_written(text)
    return tuple(sorted(needs.items()))


def _from_words(field: str, words: Sequence[object]) -> dict[str, str]:
    """Return names and amounts of words as `--need` has them. Raises InvalidInput."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, amount = word.strip().partition("=") if isinstance(word, str) else ("", "", "")
        if not sign:
            raise InvalidInput(f"{field} must be NAME=N, as gpu=2,licence=1, not {shown(word)}")
        if name in found:
            raise InvalidInput(f"{field} names {shown(name)} twice")
        found[name] = amount
    return found


def _as_written(text: object) -> str:
    """Return a valid amount in the one way in which it is kept: `12g`, `12 GiB` are `12G`."""
    if not isinstance(text, str):
        return amount_text(parse_amount("", text))
    bare = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = bare[-1:] if bare[-1:] in UNITS else ""
    return amount_text(parse_amount("", text), unit)


def amount_needed(needs: Pairs, name: str) -> int:
    """Return how much of a resource is needed, in thousandths."""
    return next((parse_amount(name, text) for each, text in needs if each == name), 0)


def number(amount: int) -> int:
    """Return a whole number of devices, of thousandths; what is not whole needs one more."""
    return -(-amount // _WHOLE)


# what there is


def parse_capacity(word: str) -> tuple[str, str]:
    """Return the name and the canonical text of what a host has: `NAME=VALUE`. Raises InvalidInput.

    VALUE is an amount, or devices: `0,1,2,3`, `0-3`, `a,b`, a single one with a comma (`2,`). Of
    GPUs it is always devices. The memory of GPUs is one amount for each, or `0:24G,1:48G`.
    """
    name, equals, text = word.strip().partition("=")
    name, text = check_name(name.strip()), text.strip()
    if not (equals and text):
        raise InvalidInput(
            f"'{word}' must be NAME=AMOUNT or NAME=DEVICES", hint="gpu=0,1,2,3 or memory=60G"
        )
    if name == GPU_MEMORY and ":" in text:
        parts = [_memory_of(part) for part in text.split(",") if part.strip()]
        return name, ",".join(f"{device}:{size}" for device, size in dict(parts).items())
    if name == GPU and text.isdigit() and int(text):
        raise InvalidInput(
            f"gpu={text} may be {text} devices, or the device {text}",
            hint=f"gpu=0-{int(text) - 1} are {text} devices, and gpu={text}, is the device {text}",
        )
    is_range = re.fullmatch(r"\d+-\d+", text) is not None
    if name != GPU_MEMORY and (name == GPU or is_range or "," in text):
        return name, ",".join(_devices(name, text))
    parse_amount(name, text)
    return name, _as_written(text)


def _memory_of(part: str) -> tuple[str, str]:
    device, _, size = part.strip().partition(":")
    if not re.fullmatch(_DEVICE, device) or not size:
        raise InvalidInput(
            f"{GPU_MEMORY} '{part}' must be DEVICE:AMOUNT", hint="gpu-memory=0:24G,1:24G"
        )
    parse_amount(GPU_MEMORY, size)
    return device, _as_written(size)


def _devices(name: str, text: str) -> list[str]:
    found: list[str] = []
    for part in (each.strip() for each in text.split(",")):
        if re.fullmatch(r"\d{1,6}-\d{1,6}", part):
            first, last = map(int, part.split("-"))
            found += [str(each) for each in range(first, min(last, first + _MOST_DEVICES) + 1)]
        elif re.fullmatch(_DEVICE, part):
            found.append(part)
        elif part:
            raise InvalidInput(f"{name}: {shown(part)} is no name of a device")
    devices = list(dict.fromkeys(found))
    if not devices or len(devices) > _MOST_DEVICES:
        raise InvalidInput(f"{name} must name 1 to {_MOST_DEVICES:,} devices, not {shown(text)}")
    return devices


def parse_capacities(words: Iterable[str]) -> Pairs:
    """Return what a host has, each named once. Raises InvalidInput."""
    found: dict[str, str] = {}
    for word in words:
        name, text = parse_capacity(word)
        if name in found:
            raise InvalidInput(f"the resource {name} is given twice")
        found[name] = text
    if GPU_MEMORY in found and ":" not in found[GPU_MEMORY] and GPU not in found:
        raise InvalidInput(
            f"{GPU_MEMORY} says how much each GPU has, and none is named",
            hint=f"--resource gpu=0,1 --resource {GPU_MEMORY}={found[GPU_MEMORY]}",
        )
    return tuple(sorted(found.items()))


@lru_cache(maxsize=64)
def supply_of(capacities: Pairs) -> Supply:
    """Return what a host has, of what it declared."""
    amounts: dict[str, int] = {}
    devices: dict[str, tuple[str, ...]] = {}
    memory: dict[str, int] = {}
    for name, text in capacities:
        if name == GPU_MEMORY and ":" in text:
            memory = {
                device: parse_amount(name, size)
                for device, size in (part.split(":") for part in text.split(","))
            }
        elif name == GPU or (name != GPU_MEMORY and not re.fullmatch(_AMOUNT, text)):
            devices[name] = tuple(text.split(","))
        elif name != GPU_MEMORY:
            amounts[name] = parse_amount(name, text)
    known = dict(capacities)
    if GPU not in devices and memory:
        devices[GPU] = tuple(memory)
    if GPU_MEMORY in known and not memory:
        each = parse_amount(GPU_MEMORY, known[GPU_MEMORY])
        memory = dict.fromkeys(devices.get(GPU, ()), each)
    return Supply(amounts, devices, memory)


def devices_text(devices: Iterable[str]) -> str:
    """Return devices that are held whole, told apart from an amount: `[0,2]`."""
    return f"[{','.join(devices)}]"


def devices_held(units: Pairs, name: str) -> tuple[str, ...]:
    """Return the devices of a name that are held whole."""
    text = dict(units).get(name, "")
    return tuple(text[1:-1].split(",")) if text[:1] == "[" else ()


def memory_held(units: Pairs) -> dict[str, int]:
    """Return how much of the memory of which GPU is held, where it is shared with others."""
    text = next((text for name, text in units if name == GPU_MEMORY), "")
    parts = (part.split(":") for part in text.split(",") if part)
    return {device: parse_amount(GPU_MEMORY, size) for device, size in parts}


def gpus_held(units: Pairs) -> tuple[str, ...]:
    """Return the GPUs that a run may use, whole or in part."""
    return devices_held(units, GPU) or tuple(memory_held(units))


def as_dict(units: Pairs) -> dict[str, object]:
    """Return what is held as JSON has it: lists of devices, memory by device, amounts as text."""
    found: dict[str, object] = dict(units)
    for name, _ in units:
        if devices := devices_held(units, name):
            found[name] = list(devices)
    if GPU_MEMORY in found:
        parts = (part.partition(":") for part in str(found[GPU_MEMORY]).split(","))
        found[GPU_MEMORY] = {device: size for device, _, size in parts}
    return found


def needs_text(needs: Iterable[tuple[str, str]]) -> str:
    """Return needs as a sentence names them: `gpu=2, memory=12G`."""
    return ", ".join(f"{name}={text}" for name, text in needs)
