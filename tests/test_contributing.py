"""What CONTRIBUTING says to type is there, and each Python that is promised is checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tomlkit

import queuectl

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    """Return the text of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    """Return what pyproject.toml says of the project."""
    return dict(tomlkit.parse(read("pyproject.toml")).unwrap()["project"])


def test_every_make_target_that_is_named_is_there() -> None:
    named = re.findall(r"(?:`|^)make ((?:[a-z]+ ?)+)", read("CONTRIBUTING.md"), re.MULTILINE)
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    assert {word for words in named for word in words.split()} - targets == set()
    assert "quick" in " ".join(named)


def test_every_target_can_be_listed_and_is_no_file() -> None:
    makefile = read("Makefile")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z]+):.* ## ", makefile, re.MULTILINE))
    assert targets == set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())


def test_the_forge_checks_each_python_from_the_oldest_that_is_promised() -> None:
    workflow = read(".github/workflows/ci.yml")
    matrix = re.findall(r'"3\.(\d+)"', workflow)
    oldest = project()["requires-python"].removeprefix(">=3.")
    assert matrix == [str(minor) for minor in range(int(oldest), int(oldest) + len(matrix))]
    assert "run: .ci/run" in workflow


def test_the_version_is_the_same_in_the_package_and_in_the_program() -> None:
    assert project()["version"] == queuectl.__version__
