"""The walls of the house: imports point down only, no file is part of a circle, the domain is pure.

The walls between packages are the contracts of import-linter in `pyproject.toml`. They see what is
imported inside functions, and for types alone, as well.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "queuectl"

PURE = frozenset(
    "__future__ bisect collections dataclasses datetime difflib enum fnmatch functools graphlib "
    "json math operator queuectl re shlex typing zlib".split()
)
"""All that the domain may import; of queuectl it is itself, which the contracts see to."""

BREAKS = {
    "imports point down only": ("system/ids.py", "def f():\n    import queuectl.queue.read\n"),
    "siblings do not see each other": ("watch/view.py", "import queuectl.shell.tokenizer\n"),
    "one kind of store knows nothing of another": (
        "stores/sqlite/wakeup.py",
        "def f():\n    from queuectl.stores.mongo import chunks\n",
    ),
    "the domain does no input and no output": ("domain/text.py", "def f():\n    import random\n"),
    "a store starts and signals no process": (
        "stores/sqlite/wakeup.py",
        "def f():\n    import queuectl.system.lock_watch\n",
    ),
    "a store knows no process": ("stores/base.py", "import queuectl.system.processes\n"),
    "what runs a command sees no store": (
        "worker/runs/programs.py",
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from queuectl.stores.base import Store\n",
    ),
    "a worker's parts see neither": (
        "worker/batch.py",
        "def f():\n    import queuectl.worker.supervision.manager\n",
    ),
    "the dashboard asks the queue, not its store": (
        "web/access.py",
        "from queuectl.stores import open_store\n",
    ),
    "what the dashboard and the live view show is not taken from commands": (
        "web/app_state.py",
        "def f():\n    from queuectl.cli.status import status\n",
    ),
    "what is shown does not depend on the command line": (
        "presentation/layout.py",
        "import click\n",
    ),
    "no packages in a circle": ("web/api/schemas.py", "import queuectl.web.pages.charts\n"),
}
"""For each wall, by the words that its contract begins or ends with, an import that breaks it."""


def linted(checkout: Path) -> str:
    """Return what import-linter says of a checkout."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout + ended.stderr


def circle_in(imported: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the files of one circle of imports, none if there is no circle."""
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as fault:
        return list(fault.args[1])
    return []


def impure(source: str) -> list[str]:
    """Return the modules that a file of the domain imports and must not."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "queuectl")
    return [name for name in names if name.split(".")[0] not in PURE]


def test_every_wall_stands() -> None:
    said = linted(ROOT)
    assert "0 broken." in said, said


def test_no_file_is_part_of_an_import_circle() -> None:
    graph = grimp.build_graph("queuectl", cache_dir=None)
    files = graph.modules
    assert len(files) > 100
    assert circle_in({name: graph.find_modules_directly_imported_by(name) for name in files}) == []


def test_no_file_of_the_domain_imports_anything_that_touches_the_world() -> None:
    files = list((PACKAGE / "domain").rglob("*.py"))
    assert len(files) > 10
    impurities = {path.name: impure(path.read_text(encoding="utf-8")) for path in files}
    assert {name: modules for name, modules in impurities.items() if modules} == {}


def test_each_wall_falls_where_an_import_goes_through_it(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "queuectl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, text in BREAKS.values():
        with (tmp_path / "queuectl" / file).open("a", encoding="utf-8") as source:
            source.write(text)
    said = linted(tmp_path)
    fallen = [line for line in said.splitlines() if line.endswith(" BROKEN")]
    assert [wall for wall in BREAKS if not any(wall in line for line in fallen)] == [], said
    assert " KEPT" not in said, said


def test_a_circle_through_a_function_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("def f():\n    from house import two\n")
    (package / "two.py").write_text("from house.one import f\n")
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("house", cache_dir=None)
    imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert {*circle_in(imported)} == {"house.one", "house.two"}


def test_what_touches_the_world_is_seen() -> None:
    assert impure("import os\nfrom time import time\ndef f():\n    from random import *") == [
        "os",
        "time",
        "random",
    ]
