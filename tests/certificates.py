"""Certificates for servers of a test, which sign themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """The files of a certificate, which is its own authority, and of its key."""

    authority: Path
    key: Path


def certificate_in(root: Path) -> Certificate:
    """Make a certificate for 127.0.0.1; the test is skipped where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program, which makes the certificate, is not installed")
    made = Certificate(root / "certificate.pem", root / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(made.key), "-out", str(made.authority)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made
