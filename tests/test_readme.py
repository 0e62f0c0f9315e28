"""What README and other pages show as printed is printed; README's is never written by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SETTINGS = "<!-- [[[cog settings() ]]] -->\n{}<!-- [[[end]]] -->\n"

printed = import_module("docs.printed")


def test_every_page_with_marks_is_made_anew() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    marked = [page for page in pages if "[[[cog " in page.read_text(encoding="utf-8")]
    assert {str(page.relative_to(ROOT)) for page in marked} == set(printed.PAGES)


def test_the_pages_show_what_is_printed() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "docs.printed", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
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
    made = r"^<!-- \[\[\[cog .*?^<!-- \[\[\[end\]\]\] -->$"
    by_hand = re.sub(made, "", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
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
