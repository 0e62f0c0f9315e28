"""The benchmarks: two builds in turns, and every row in little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_BENCH = Path(__file__).parents[1] / "benchmarks" / "bench.py"
_ALL_BUT_SLOW_ONES = "drain,backlog,sleep,bulk,enqueue,lists,starts,hooks"
_LITTLE = "--jobs 50 --backlog 200 --bulk 500".split()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="benchmarks read /proc")


def bench(*args: str) -> str:
    """Run the benchmarks; return what they print."""
    argv = [sys.executable, str(_BENCH), *args]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout


def figure(samples: list[float], target: object = None, before: object = None) -> dict[str, object]:
    return {
        "key": "rate", "what": "the rate", "unit": "jobs/s", "samples": samples, "target": target,
        "is_extreme": False, "way": "", "before": before,
    }  # fmt: skip


def report(tmp_path: Path, rate: dict[str, object]) -> str:
    """Return the row that is printed of one figure."""
    section = {
        "name": "bulk", "title": "Bulk", "date": "", "machine": {}, "conditions": {}, "sizes": {},
        "figures": [rate],
    }  # fmt: skip
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"sections": [section]}))
    printed = bench("--report", "--json", str(results)).splitlines()
    return next(line for line in printed if line.startswith("| the rate "))


def test_a_build_is_judged_by_its_ratio_to_the_build_before_of_the_same_round(
    tmp_path: Path,
) -> None:
    target = {"bound": 2.0, "is_least": True, "note": "", "is_ratio": True}
    before = {**figure([10, 20, 50]), "way": "--count 64"}
    row = report(tmp_path, figure([30, 40, 50], target, before))
    assert row == (
        "| the rate | ≥ 2 × the build before | 40 (30 to 50) jobs/s "
        "| 20 (10 to 50) jobs/s, as --count 64 | 2 (1 to 3) × | PASS |"
    )


def test_a_ratio_cannot_be_judged_without_a_build_before(tmp_path: Path) -> None:
    target = {"bound": 2.0, "is_least": True, "note": "", "is_ratio": True}
    row = report(tmp_path, figure([30, 40, 50], target))
    assert row == "| the rate | ≥ 2 × the build before | 40 (30 to 50) jobs/s | – |"


def test_times_that_may_be_negative_have_no_ratio(tmp_path: Path) -> None:
    row = report(tmp_path, figure([-1, 2], before=figure([1, 2])))
    assert row == "| the rate | – | 0.50 (−1 to 2) jobs/s | 1.50 (1 to 2) jobs/s | – | – |"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("names", "rounds"), [(_ALL_BUT_SLOW_ONES, 1), ("sleep", 3)])
def test_each_row_can_be_measured_of_two_builds_in_turns(
    names: str, rounds: int, tmp_path: Path
) -> None:
    results = tmp_path / "results.json"
    program = f"{sys.executable} -m queuectl"
    wanted = ["--only", names, "--rounds", str(rounds), "--bin", program, "--before", program]
    bench(*wanted, *_LITTLE, "--json", str(results))
    sections = json.loads(results.read_text())["sections"]
    assert [section["name"] for section in sections] == names.split(",")
    for each in (each for section in sections for each in section["figures"]):
        assert len(each["samples"]) == len(each["before"]["samples"]) == rounds, each["what"]
