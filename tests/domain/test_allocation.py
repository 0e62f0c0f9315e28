"""Who gets what of the named resources."""

from __future__ import annotations

from datetime import datetime, timedelta

from queuectl.domain.allocation import Candidate, Choice, Room, choose
from queuectl.domain.job import Holding
from queuectl.domain.resources import Pairs, parse_amount, parse_capacities, supply_of
from queuectl.domain.times import UTC

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)


def room(
    *declared: str,
    held: tuple[Pairs, ...] = (),
    fleet: dict[str, str] | None = None,
    foreign: dict[str, str] | None = None,
    host: str = "box",
) -> Room:
    """Return what is free on a host that declared some things."""
    amounts = {name: parse_amount(name, text) for name, text in (fleet or {}).items()}
    used = {device: parse_amount(device, text) for device, text in (foreign or {}).items()}
    holdings = [Holding("box", units) for units in held]
    return Room(host, supply_of(parse_capacities(declared)), amounts, holdings, used)


def needs(**amounts: str) -> Pairs:
    return tuple(sorted((name.replace("_", "-"), text) for name, text in amounts.items()))


def waiting(number: int, wanted: Pairs, **more: object) -> Candidate:
    return Candidate(number, wanted, (0, number), **more)  # type: ignore[arg-type]  # as they come


def chosen(choice: Choice | None) -> object:
    return choice and choice.candidate.key


def test_whole_gpus_are_handed_out_and_the_same_ones_to_nobody_else() -> None:
    free = room("gpu=0-3", held=((("gpu", "[1]"),),))
    assert free.place(needs(gpu="2")) == (("gpu", "[0,2]"),)
    assert free.place(needs(gpu="4")) is None


def test_a_run_gets_other_devices_than_the_one_before() -> None:
    free = room("gpu=0-3")
    given = [free.place(needs(gpu="1"), turn) for turn in range(5)]
    assert given == [(("gpu", f"[{number}]"),) for number in (0, 1, 2, 3, 0)]


def test_amounts_are_taken_from_host_and_fleet() -> None:
    free = room("memory=60G", fleet={"licence": "2"}, held=((("licence", "1"), ("memory", "50G")),))
    assert free.place(needs(memory="10G", licence="1")) == (("licence", "1"), ("memory", "10G"))
    assert free.place(needs(memory="11G")) is None
    assert free.place(needs(licence="1.001")) is None
    assert free.place(needs(unheard_of="1")) is None


def test_what_another_host_holds_counts_for_the_fleet_alone() -> None:
    elsewhere = Holding("other", (("gpu", "[0]"), ("licence", "2"), ("memory", "60G")))
    here = supply_of(parse_capacities(["gpu=0", "memory=60G"]))
    free = Room("box", here, {"licence": 2000}, [elsewhere], {})
    assert free.place(needs(gpu="1", memory="60G"))
    assert free.place(needs(licence="1")) is None


def test_several_jobs_share_a_gpu_up_to_its_memory_and_fill_one_first() -> None:
    free = room("gpu=0,1", "gpu-memory=24G", held=((("gpu-memory", "1:10G"),),))
    assert free.place(needs(gpu_memory="10G")) == (("gpu-memory", "1:10G"),)
    assert free.place(needs(gpu_memory="20G")) == (("gpu-memory", "0:20G"),)
    assert free.place(needs(gpu="2")) is None
    assert free.place(needs(gpu="1")) == (("gpu", "[0]"),)


def test_a_gpu_that_is_held_whole_is_shared_with_nobody() -> None:
    free = room("gpu=0", "gpu-memory=24G", held=((("gpu", "[0]"),),))
    assert free.place(needs(gpu_memory="1G")) is None


def test_memory_that_others_use_is_not_given_away() -> None:
    free = room("gpu=0,1", "gpu-memory=24G", foreign={"0": "20G"})
    assert free.place(needs(gpu_memory="10G")) == (("gpu-memory", "1:10G"),)
    assert free.place(needs(gpu="2", gpu_memory="10G")) is None
    assert free.place(needs(gpu="1", gpu_memory="10G")) == (("gpu", "[1]"),)


def test_who_declared_nothing_has_what_the_fleet_has() -> None:
    free = room(fleet={"licence": "1"}, host="")
    assert free.place(needs(licence="1")) == (("licence", "1"),)
    assert free.holding((("licence", "1"),)) == Holding("", (("licence", "1"),))
    assert free.place(needs(gpu="1")) is None


def test_what_does_not_fit_lets_those_behind_it_pass_and_is_noted() -> None:
    big, small = waiting(1, needs(gpu="4")), waiting(2, needs(gpu="1"))
    choice = choose([big, small], room("gpu=0-3", held=((("gpu", "[0]"),),)), NOW, 60)
    assert chosen(choice) == 2
    assert choice
    assert choice.passed == (big,)


def test_what_was_passed_over_for_long_has_what_it_needs_kept_free() -> None:
    held = ((("gpu", "[0]"),),)
    big = waiting(1, needs(gpu="3", licence="1"), passed_at=LONG_AGO)
    behind = [waiting(2, needs(gpu="1")), waiting(3, needs(licence="1"))]
    free = room("gpu=0-3", held=held, fleet={"licence": "1"})
    assert chosen(choose([big, *behind], free, NOW, 60)) == 1
    big = waiting(1, needs(gpu="4", licence="1"), passed_at=LONG_AGO)
    free = room("gpu=0-3", held=held, fleet={"licence": "1"})
    assert choose([big, *behind], free, NOW, 60) is None
    free = room("gpu=0-3", "memory=1G", held=held, fleet={"licence": "1"})
    assert chosen(choose([big, *behind, waiting(4, needs(memory="1G"))], free, NOW, 60)) == 4


def test_a_gpu_to_be_shared_is_kept_free_too() -> None:
    held = ((("gpu-memory", "0:14G"),), (("gpu-memory", "1:20G"),))
    big = waiting(1, needs(gpu_memory="20G"), passed_at=LONG_AGO)
    free = room("gpu=0,1", "gpu-memory=24G", held=held)
    assert choose([big, waiting(2, needs(gpu_memory="10G"))], free, NOW, 60) is None
    free = room("gpu=0,1", "gpu-memory=24G", held=held)
    assert chosen(choose([big, waiting(2, needs(gpu_memory="4G"))], free, NOW, 60)) == 2


def test_what_goes_before_is_not_kept_from_anything() -> None:
    big = waiting(2, needs(gpu="4"), passed_at=LONG_AGO)
    free = room("gpu=0-3", held=((("gpu", "[0]"),),))
    assert chosen(choose([waiting(1, needs(gpu="1")), big], free, NOW, 60)) == 1


def test_nothing_is_kept_for_what_can_never_be() -> None:
    never = waiting(1, needs(gpu="5"), passed_at=LONG_AGO)
    assert chosen(choose([never, waiting(2, needs(gpu="4"))], room("gpu=0-3"), NOW, 60)) == 2


def test_a_job_for_another_worker_has_its_share_kept_and_is_not_taken() -> None:
    others = waiting(1, needs(gpu="1"), is_mine=False, passed_at=LONG_AGO)
    assert choose([others, waiting(2, needs(gpu="1"))], room("gpu=0"), NOW, 60) is None
    new = waiting(1, needs(gpu="1"), is_mine=False)
    assert chosen(choose([new, waiting(2, needs(gpu="1"))], room("gpu=0"), NOW, 60)) == 2
