"""The files for running queuectl as a service: systemd understands its own, and all agree."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from queuectl.domain.settings import Settings
from tests.cli.harness import Cli, cli, home

__all__ = ["cli", "home"]

DEPLOY = Path(__file__).parent.parent / "deploy"
UNITS = sorted(path for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))
_PROGRAM = re.compile(
    r"^(?:ExecStart=\S+/|\s*CMD \[\"|ENTRYPOINT \[\")queuectl\b\"?(.*)$", re.MULTILINE
)


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for unit in UNITS:
        text = re.sub(r"(?<=ExecStart=)\S+", "/bin/true", unit.read_text(encoding="utf-8"))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    said = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.glob("queuectl*")))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "Failed to" in said.stderr:
        pytest.skip("systemd-analyze does not work here")
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_what_is_started_is_a_command_line_of_this_program(
    cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda _command, _ctx: 0)
    lines = _PROGRAM.findall(path.read_text(encoding="utf-8"))
    assert lines or path.suffix == ".timer"
    for line in lines:
        words = shlex.split(re.sub(r"[\[\],]", " ", line)) or ["status"]
        assert cli(*words).err == "", line


def test_a_service_is_given_longer_to_stop_than_its_jobs() -> None:
    for unit in ("queuectl.service", "queuectl-user.service"):
        text = (DEPLOY / unit).read_text(encoding="utf-8")
        (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert int(seconds) > 300 + 2 * Settings().kill_grace_seconds
        assert "KillMode=mixed" in text
