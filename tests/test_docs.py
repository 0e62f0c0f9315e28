"""What documentation and services show is there: command lines, links, and what is printed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from queuectl.domain.job_fields import FIELDS
from queuectl.domain.settings import Settings
from tests.cli.harness import Cli, cli, home

__all__ = ["cli", "home"]

modules = import_module("docs.modules")
printed = import_module("docs.printed")

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SETTINGS = "<!-- [[[cog settings() ]]] -->\n{}<!-- [[[end]]] -->\n"
_BLOCK = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(queuectl [^`]+)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_END = re.compile(r"[|&;<>]+")
_FOR_THE_READER = re.compile(r"\b[A-Z]{2,}\b|…|\.\.\.")
_PROGRAM = re.compile(
    r"^(?:ExecStart=\S+/|\s*CMD \[\"|ENTRYPOINT \[\")queuectl\b\"?(.*)$", re.MULTILINE
)
_MADE = re.compile(r"^<!-- \[\[\[cog .*?^<!-- \[\[\[end\]\]\] -->$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def parse(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Command lines in this process, which are understood and do nothing."""
    monkeypatch.setattr(click.Command, "invoke", lambda _command, _ctx: 0)
    return cli


def written(text: str) -> Iterator[str]:
    """Yield the command lines of a page: after a prompt, or between back quotes in the text."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line[2:]
    for line in _INLINE.findall(_BLOCK.sub("", text)):
        if not _FOR_THE_READER.search(line):
            yield line


def arguments(line: str) -> list[str] | None:
    """Return what a line gives to queuectl; None when it is for another program."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if _END.fullmatch(word):
            break
        words.append(word)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words[1:] if words and words[0] == "queuectl" else None


COMMANDS = sorted(
    {
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for line in written(page.read_text(encoding="utf-8"))
        if arguments(line) is not None
    }
)


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_line_of_the_documentation_is_understood(
    parse: Cli, page: str, line: str
) -> None:
    assert parse(*(arguments(line) or [])).err == "", f"{page}: {line}"


def test_what_is_not_understood_is_noticed(parse: Cli) -> None:
    assert len(COMMANDS) > 50
    assert "no such option" in parse(*(arguments("queuectl list --staet dead | wc") or [])).err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_to_a_file(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_page_on_the_architecture_names_every_module_by_its_own_words() -> None:
    page = modules.PAGE.read_text(encoding="utf-8")
    assert modules.with_listing(page) == page, "python -m docs.modules writes it anew"


# what is printed: README's is never written by hand


def test_every_page_with_marks_is_made_anew() -> None:
    marked = [page for page in PAGES if "[[[cog " in page.read_text(encoding="utf-8")]
    assert {str(page.relative_to(ROOT)) for page in marked} == set(printed.PAGES)


def test_the_pages_show_what_is_printed() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "docs.printed", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, f"make docs writes it anew:\n{checked.stdout}{checked.stderr}"


def test_a_table_that_lacks_a_setting_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(SETTINGS.format(""))
    assert printed.main([str(page)]) == 0
    assert printed.main(["--check", str(page)]) == 0
    lines = page.read_text().splitlines(keepends=True)
    page.write_text("".join(line for line in lines if "max_retries" not in line))
    assert printed.main(["--check", str(page)]) != 0
    assert "+| `max_retries` | `3` |" in capsys.readouterr().out


def test_no_output_in_readme_is_written_by_hand() -> None:
    by_hand = _MADE.sub("", README.read_text(encoding="utf-8"))
    blocks = re.findall(r"^```console\n(.*?)^```", by_hand, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert [line for line in lines if not line.startswith("$ ")] == []
    assert lines


def test_cells_of_a_table_are_as_wide_as_what_stands_in_them(tmp_path: Path) -> None:
    fixed = printed.Fixed(tmp_path)
    fixed("Started 1 worker(s): [7]\n")
    text = "PID  HOST  STATE  ID\n7    a-host-of-mine  idle  a-host-of-mine-7-abcdef\n"
    titles, worker = fixed(text).splitlines()
    assert titles == "PID    HOST  STATE  ID"
    assert worker.startswith("29180  vm    idle   vm-29180-")


# the files for running queuectl as a service


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for unit in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")):
        text = re.sub(r"(?<=ExecStart=)\S+", "/bin/true", unit.read_text(encoding="utf-8"))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.glob("queuectl*")))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "Failed to" in verified.stderr:
        pytest.skip("systemd-analyze does not work here")
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_what_a_service_starts_is_a_command_line_of_this_program(parse: Cli, path: Path) -> None:
    lines = _PROGRAM.findall(path.read_text(encoding="utf-8"))
    assert lines or path.suffix == ".timer"
    for line in lines:
        words = shlex.split(re.sub(r"[\[\],]", " ", line)) or ["status"]
        assert parse(*words).err == "", line


@pytest.mark.parametrize("unit", ["queuectl.service", "queuectl-user.service"])
def test_a_service_is_given_longer_to_stop_than_its_jobs(unit: str) -> None:
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) > 300 + 2 * Settings().kill_grace_seconds
    assert "KillMode=mixed" in text


def test_the_page_on_changing_names_the_fields_that_the_editor_shows() -> None:
    _, _, page = (
        (ROOT / "docs/flow/changing.md").read_text(encoding="utf-8").partition("[nightly]\n")
    )
    names = re.findall(r"^(?:# )?(\w+)(?:\.\w+)? = ", page.partition("```")[0], re.MULTILINE)
    asked = {name for name, field in FIELDS.items() if field.option and not field.is_hidden}
    shown = {"command", "run_at", *asked}
    assert set(names) == shown
