"""Imports go downward only, and the domain stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "queuectl"

SHARED = frozenset("captured cron home ids joblogs lockholder owners stops waiting when".split())
"""Small modules beside the layers: cron expressions, files, identifiers, waiting, times, locks."""

LAYERS: dict[str, frozenset[str]] = {
    "domain": frozenset(),
    "ids": frozenset(),
    "cron": frozenset({"domain"}),
    "waiting": frozenset({"domain"}),
    "when": frozenset({"domain"}),
    "captured": frozenset({"domain", "home"}),
    "home": frozenset({"domain", "owners"}),
    "owners": frozenset({"domain"}),
    "joblogs": frozenset({"domain", "home"}),
    "stops": frozenset(),
    "lockholder": frozenset({"domain", "stops"}),
    "stores": SHARED | {"domain"},
    "worker": SHARED | {"domain", "stores"},
    "parents": frozenset({"domain"}),
    "written": frozenset({"domain", "home"}),
    "hooks": SHARED | {"domain", "stores", "worker"},
    "reading": SHARED | {"domain", "stores", "worker"},
    "changes": SHARED | {"domain", "stores", "parents", "reading", "worker"},
    "many": SHARED | {"domain", "stores", "worker", "changes"},
    "schedules": SHARED | {"domain", "stores"},
    "keeping": SHARED | {"domain", "stores", "reading", "transfer", "worker"},
    "enqueueing": SHARED | {"domain", "stores", "parents", "changes", "keeping", "written"},
    "statistics": SHARED | {"domain", "stores", "reading", "worker"},
    "transfer": SHARED | {"domain", "stores", "worker"},
    "queue": SHARED
    | {"domain", "stores", "worker", "enqueueing", "many", "schedules", "statistics", "hooks"},
    "metrics": SHARED | {"domain", "worker", "queue"},
    "cli": SHARED
    | {"domain", "stores", "worker", "queue", "many", "keeping", "transfer", "metrics", "hooks"}
    | {"written"},
    "shell": SHARED | {"domain", "stores", "worker", "queue", "many", "cli"},
    "looking": SHARED | {"domain", "queue", "cli"},
    "watch": SHARED | {"domain", "stores", "worker", "queue", "cli", "looking"},
    "web": SHARED | {"domain", "queue", "many", "keeping", "cli", "looking", "metrics"},
    "__init__": frozenset({"domain", "queue"}),
    "__main__": frozenset({"cli"}),
}
"""What each part of the package may import beside itself and the version in `__init__`."""

LATE: frozenset[tuple[str, str]] = frozenset(
    {("home", "stores"), ("cli", "shell"), ("cli", "watch"), ("cli", "web")}
)
"""Allowed inside a function only: the grammar of addresses, and what is shown
over the commands."""

PURE = frozenset(
    "__future__ bisect collections dataclasses datetime difflib enum fnmatch functools graphlib "
    "math operator re shlex typing".split()
)
"""All that the domain may import of the standard library."""

NO_PROCESSES = frozenset("multiprocessing pty signal subprocess".split())


def imports(tree: ast.Module, module: str) -> Iterator[tuple[str, bool]]:
    """Yield the full name of every import, and whether it is inside a function."""
    package = module.rsplit(".", 1)[0]
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            name = ".".join(part for part in (base, node.module) if part)
            yield from ((f"{name}.{alias.name}", id(node) in inside) for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """Return one line for each import that a module of the package must not make."""
    part = module.split(".")[1]
    faults = []
    for name, is_late in imports(ast.parse(source), module):
        top, *rest = name.split(".")
        target = rest[0] if rest else "__init__"
        if top != "queuectl":
            if part == "domain" and top not in PURE:
                faults.append(f"{module} imports {name}: the domain is pure")
            if part == "stores" and top in NO_PROCESSES:
                faults.append(f"{module} imports {name}: a store never sees a process")
        elif module == "queuectl.worker.runs.executor" and target == "stores":
            faults.append(f"{module} imports {name}: the runner knows no store")
        elif target in (part, "__version__") or target in LAYERS[part]:
            continue
        elif not (is_late and (part, target) in LATE):
            faults.append(f"{module} imports {name}: upward, or past its layer")
    return faults


def modules() -> list[tuple[str, Path]]:
    """Return every module of the package by its full name, `__init__` included."""
    return [
        (".".join(("queuectl", *path.relative_to(PACKAGE).with_suffix("").parts)), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def test_every_part_of_the_package_has_its_layer() -> None:
    assert {name.split(".")[1] for name, _ in modules()} <= set(LAYERS)


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_module_imports_downward_only(module: str, path: Path) -> None:
    assert violations(module, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("queuectl.domain.job", "import queuectl.system.home"),
        ("queuectl.domain.job", "from queuectl.system.ids import new_token"),
        ("queuectl.domain.job", "from queuectl import stores"),
        ("queuectl.domain.job", "from ..stores import base"),
        ("queuectl.domain.job", "import os"),
        ("queuectl.domain.job", "from time import time"),
        ("queuectl.domain.job", "def now():\n    import random"),
        ("queuectl.stores.sqlite.store", "from queuectl.worker.worker import run"),
        ("queuectl.stores.sqlite.store", "from queuectl.queue import Queue"),
        ("queuectl.stores.sqlite.store", "import subprocess"),
        ("queuectl.stores.mongo.store", "def f():\n    import signal"),
        ("queuectl.worker.runs.executor", "from queuectl.stores.base import Store"),
        ("queuectl.worker.runs.executor", "def f():\n    from queuectl import stores"),
        ("queuectl.worker.worker", "from queuectl.queue import Queue"),
        ("queuectl.queue", "from queuectl.cli import main"),
        ("queuectl.cli.jobs.show", "import queuectl.shell.prompt"),
        ("queuectl.web.pages.pages", "from queuectl.stores import open_store"),
        ("queuectl.system.home", "from queuectl.stores import is_mongo"),
        ("queuectl.system.time_parser", "from queuectl.system.home import Home"),
    ],
)
def test_the_check_goes_red_for_an_import_that_breaks_the_rule(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("queuectl.domain.backoff", "import math\nfrom queuectl.domain.job import Job"),
        ("queuectl.domain.backoff", "from .job import Job"),
        ("queuectl.stores.__init__", "from .base import Store"),
        ("queuectl.system.home", "def f():\n    from queuectl.stores import is_mongo"),
        ("queuectl.cli.main", "from queuectl import __version__"),
        ("queuectl.worker.worker", "from queuectl.stores.base import Store\nimport signal"),
    ],
)
def test_the_check_stays_green_for_an_import_that_goes_down(module: str, source: str) -> None:
    assert violations(module, source) == []
