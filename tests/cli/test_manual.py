"""The manual page that is made from the commands."""

from __future__ import annotations

import shutil
import subprocess

import click
import pytest

from queuectl.cli.root import COMMANDS, root
from queuectl.domain.settings import KEYS
from tests.cli.harness import Cli


def test_the_manual_has_every_command_and_every_setting(cli: Cli) -> None:
    page = cli.ok("help", "--man").out
    assert page.startswith(".TH QUEUECTL 1")
    ctx = click.Context(root)
    for name in COMMANDS:
        command = root.get_command(ctx, name)
        assert command is not None
        assert rf".SS \fB{name}\fR" in page
    assert r".SS \fBworker start\fR" in page
    assert page.count(r"\fB\-\-home DIR\fR") == 1
    for key in KEYS:
        assert rf"\fB{key}\fR" in page


def test_roff_has_nothing_to_complain_of(cli: Cli) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    page = cli.ok("help", "--man").out
    made = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, check=True
    )
    assert made.stderr == ""
    assert "queuectl - The job queue for shell commands" in made.stdout
