"""What the files for running the dashboard as a service install and allow."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
import tomlkit

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
MOST_EXPOSED = 4.0


def named(line: str) -> str:
    """Return the name of the package that a requirement begins with, as indexes spell it."""
    found = _NAME.match(line)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def with_theirs(packages: set[str]) -> set[str]:
    """Return packages with all that they need on every Python."""
    plain = {
        named(line) for package in packages for line in requires(package) or () if ";" not in line
    }
    return packages if plain <= packages else with_theirs(packages | plain)


def test_the_requirements_have_all_that_the_dashboard_and_its_messages_need() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = {named(line) for line in text.splitlines() if not line.startswith("#")}
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
    extras = project["project"]["optional-dependencies"]
    lines = [*project["project"]["dependencies"], *extras["web"], *extras["notify"]]
    assert with_theirs({named(line) for line in lines}) - pinned == set()
    assert "requirements.txt" in (DEPLOY / "Containerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "kind"), [("", "notify"), ("-user", "notify"), ("-dashboard", "notify"),
                       ("-metrics", "notify"), ("-check", "oneshot")]
)  # fmt: skip
def test_services_that_stay_say_themselves_when_they_are_ready(name: str, kind: str) -> None:
    lines = (DEPLOY / f"queuectl{name}.service").read_text(encoding="utf-8").splitlines()
    assert f"Type={kind}" in lines
    runs_jobs = any(line.endswith(("--count 2", "--count 4")) for line in lines)
    assert any(line.startswith("WatchdogSec=") for line in lines) == runs_jobs


@pytest.mark.parametrize(
    ("name", "command"),
    [("dashboard", "dashboard"), ("metrics", "metrics"), ("check", "hook check")],
)
def test_a_service_that_runs_no_jobs_may_do_little(name: str, command: str) -> None:
    unit = DEPLOY / f"queuectl-{name}.service"
    assert f"/bin/queuectl {command}" in unit.read_text(encoding="utf-8")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    looked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"exposure level for \S+: ([\d.]+)", looked.stdout)
    if found is None:
        pytest.skip("systemd-analyze does not work here")
    assert float(found[1]) < MOST_EXPOSED
