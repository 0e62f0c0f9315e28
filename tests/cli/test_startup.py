"""A one-shot command pays only for what it uses."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import click
import pytest

from queuectl.cli.root import COMMANDS, ONE_JOB_COMMANDS, jobs, root
from tests.cli.harness import ROOT, program

HEAVY = frozenset(
    "rich prompt_toolkit pymongo bson psutil dotenv logging subprocess difflib asyncio "
    "prometheus_client importlib.metadata shutil tempfile random unittest "
    "dataclasses ipaddress json locale pathlib signal unicodedata urllib.parse "
    "queuectl.stores.mongo.store queuectl.shell queuectl.worker.supervision.manager "
    "queuectl.queue.events queuectl.presentation.tables".split()
)
MOST_OF_OURS = 56
"""So many modules of ours may be loaded: each takes a hundredth of the time of `import click`."""

UNUSED_BY_ENQUEUE = frozenset(
    "queuectl.queue.bulk queuectl.queue.change queuectl.queue.dependencies "
    "queuectl.stores.exchange queuectl.stores.sqlite.claims queuectl.stores.sqlite.named "
    "queuectl.stores.sqlite.queues queuectl.stores.sqlite.retention queuectl.stores.sqlite.stats "
    "queuectl.system.polling".split()
)
UNUSED_BY_READERS = frozenset(
    "queuectl.stores.sqlite.batches queuectl.stores.sqlite.needs queuectl.stores.sqlite.queues "
    "queuectl.queue.change queuectl.queue.enqueue queuectl.queue.requests "
    "queuectl.stores.sqlite.writes queuectl.stores.sqlite.claims dataclasses pathlib json".split()
)
PROGRAM = """
import sys
from queuectl.cli.app import run_process
code = run_process(sys.argv[1:])
print(sorted(sys.modules), file=sys.stderr)
raise SystemExit(code)
"""


def modules_of(*args: str) -> set[str]:
    """Return the modules that are imported when a command line has run."""
    ended = program([sys.executable, "-c", PROGRAM, *args])
    assert ended.code == 0, ended
    return set(ast.literal_eval(ended.err.splitlines()[-1]))


def modules_of_click() -> set[str]:
    """Return what click costs in any case."""
    code = "import sys, click; print(sorted(sys.modules))"
    return set(ast.literal_eval(program([sys.executable, "-c", code]).out))


@pytest.mark.parametrize("args", [["enqueue", "a", "true"], ["config", "get"], ["--version"]])
def test_a_common_command_imports_nothing_heavy(args: list[str]) -> None:
    modules_of("init")
    imported = modules_of(*args) - modules_of_click()
    allowed = {"queuectl.presentation.tables"} if args[0] == "config" else set()
    assert imported & HEAVY - allowed == set()


def test_enqueue_loads_few_modules_and_none_that_it_has_no_use_for() -> None:
    modules_of("init")
    imported = modules_of("enqueue", "a", "true") - modules_of_click()
    assert imported & UNUSED_BY_ENQUEUE == set()
    ours = [name for name in imported if name.startswith("queuectl")]
    assert len(ours) <= MOST_OF_OURS, sorted(ours)


@pytest.mark.parametrize("args", [["status"], ["list"], ["stats"]])
def test_what_only_looks_loads_nothing_that_writes(args: list[str]) -> None:
    modules_of("init")
    modules_of("enqueue", "a", "true")
    imported = modules_of(*args) - modules_of_click()
    assert imported & UNUSED_BY_READERS == set()


def test_the_help_imports_nothing_that_talks_to_the_world() -> None:
    imported = modules_of("--help") - modules_of_click()
    assert imported & (HEAVY - {"queuectl.presentation.tables", "shutil", "locale"}) == set()


def test_no_command_needs_fcntl_to_be_imported() -> None:
    package = ROOT / "queuectl"
    for path in [
        path for part in ("cli", "shell", "queue") for path in package.glob(f"{part}/**/*.py")
    ]:
        lines = Path(path).read_text().splitlines()
        assert not any(re.match(r"(import|from) fcntl", line) for line in lines), path


def test_the_lines_of_the_help_are_the_commands_own_words() -> None:
    context = click.Context(root)
    for group, table in ((root, COMMANDS), (jobs, ONE_JOB_COMMANDS)):
        for name, (_, line) in table.items():
            command = group.get_command(context, name)
            assert command is not None
            assert command.get_short_help_str(200) == line


def test_of_the_options_of_fields_those_are_made_that_the_line_names() -> None:
    enqueue = root.get_command(click.Context(root), "enqueue")
    assert enqueue
    for line, named in (
        (["a", "true"], set()),
        (["-q", "gpu", "a", "true"], {"queue"}),
        (["a", "true", "--timeout=5", "--at", "noon"], {"timeout", "at"}),
        (["--no-capture-env", "a", "true"], {"capture_env"}),
    ):
        ctx = click.Context(enqueue)
        enqueue.parse_args(ctx, line)
        made = ctx.params.keys() & {"queue", "timeout", "at", "capture_env", "env", "cwd", "needs"}
        assert made == named
