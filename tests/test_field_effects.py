"""A field that can be asked for does something: what reads it, besides what keeps and shows it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import queuectl
from queuectl.domain.job_fields import ASKED

PACKAGE = Path(queuectl.__file__).parent
SHOWING = {"cli", "web", "watch", "shell", "presentation"}
KEEPING = {"view.py", "views.py", "serialization.py"}


def effective_modules() -> Iterator[Path]:
    """Yield the modules in which a field can have an effect."""
    for path in PACKAGE.rglob("*.py"):
        if not (SHOWING.intersection(path.relative_to(PACKAGE).parts) or path.name in KEEPING):
            yield path


def is_spec(node: ast.expr) -> bool:
    """Whether an expression is the specification of a job, by its name: `spec`, `job.spec`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "spec"
    return isinstance(node, ast.Name) and node.id.endswith("spec")


@cache
def fields_read() -> frozenset[str]:
    """Return the fields of specifications that some module reads by name."""
    return frozenset(
        node.attr
        for path in effective_modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and is_spec(node.value)
    )


@pytest.mark.parametrize("name", ASKED)
def test_every_field_that_can_be_asked_for_has_an_effect(name: str) -> None:
    assert name in fields_read(), f"nothing reads `spec.{name}` but what keeps and shows it"
