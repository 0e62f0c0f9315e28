"""The local zone has a name, though the machine may know its rules alone."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import TZPATH

import pytest

from queuectl.domain.errors import InvalidInput
from queuectl.system import local_zone as module
from queuectl.system.local_zone import local_zone
from queuectl.system.zones import packaged_file


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with neither TZ nor a local zone; the file would be the one returned."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(module, "LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr(module, "TIMEZONE", tmp_path / "timezone")
    return tmp_path / "localtime"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("", "UTC"),
        ("EST5EDT", "EST5EDT"),
        ("UTC0", "UTC"),
        ("UTC-2", "Etc/GMT-2"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "CET"),
        ("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "Australia/Lord_Howe"),
        ("MEZ-1MESZ,M3.5.0,M10.5.0/3", "Africa/Ceuta"),
        ("GMT0BST,M3.5.0/1,M10.5.0", "Europe/London"),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "Europe/Dublin"),
        ("IST-5:30", "Asia/Kolkata"),
    ],
)
def test_a_variable_is_a_name_or_rules_that_a_zone_has(
    value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", value)
    found = local_zone()
    assert found.name == name
    assert bool(found.note) == ("-" in value or "," in value) or name == "UTC"


@pytest.mark.parametrize(
    "value",
    ["XYZ-3:17", "Mars", "right/Europe/Berlin", "CET-1CEST,J5,M10", "XYZ-24", "XYZ-24:59CET"],
)
def test_a_variable_of_which_no_zone_has_the_rules_is_refused_with_the_remedy(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", value)
    with pytest.raises(InvalidInput, match="TZ=") as caught:
        local_zone()
    assert "--tz Europe/Berlin" in caught.value.hint


@pytest.mark.parametrize("name", ["America/Vancouver", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_a_copied_file_is_the_zone_whose_rules_it_has(machine: Path, name: str) -> None:
    machine.write_bytes(packaged_file(name))
    assert local_zone().name == name


@pytest.mark.parametrize("place", [place for place in TZPATH if Path(place).is_dir()][:1])
def test_a_file_of_an_older_system_is_that_systems_zone(machine: Path, place: str) -> None:
    machine.write_bytes(Path(place, "America/Vancouver").read_bytes())
    assert local_zone().name == "America/Vancouver"


def test_a_file_that_several_zones_have_is_the_one_that_is_written_beside_it(
    machine: Path,
) -> None:
    machine.write_bytes(packaged_file("Europe/Berlin"))
    machine.with_name("timezone").write_text("Europe/Oslo\n")
    assert local_zone().name == "Europe/Oslo"
    machine.with_name("timezone").write_text("Asia/Tokyo\n")
    assert local_zone().name == "Europe/Berlin", "what is written there is out of date"


def test_a_link_has_the_name_in_it_though_its_target_is_not_there(machine: Path) -> None:
    machine.symlink_to("../nowhere/zoneinfo/posix/Europe/Berlin")
    found = local_zone()
    assert found.name == "Europe/Berlin"
    assert "leads nowhere" in found.note


def test_no_file_at_all_is_utc_and_that_is_said() -> None:
    found = local_zone()
    assert found.name == "UTC"
    assert "no" in found.note
    assert "UTC" in found.note


@pytest.mark.parametrize("content", [b"", b"nonsense", b"TZif2"])
def test_a_file_that_is_none_of_a_zone_is_refused(machine: Path, content: bytes) -> None:
    machine.write_bytes(content)
    with pytest.raises(InvalidInput, match="no file of a time zone"):
        local_zone()
