"""Every file and directory that the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
TOPS = r"queuectl|tests|docs|benchmarks|deploy|\.ci|\.github"
MODULES = ("queuectl", "tests", "docs", "benchmarks")
_CODE = re.compile(r"^```.*?^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
_PATH = re.compile(rf"(?<![\w./-])((?:{TOPS})/[\w.*/-]*|[\w*/-]+\.py)(?![\w/])")


def named_paths(page: str) -> set[str]:
    """Return the paths of the project that stand between back quotes on a page.

    They begin with a directory of the project, or are names of Python files. Blocks of code are
    passed over, and so is what a reader is to put a name into.
    """
    words = " ".join(found[1] or "" for found in _CODE.finditer(page))
    return {path for path in _PATH.findall(words) if "NAME" not in path}


def is_there(path: str, page: Path) -> bool:
    """Whether a path leads somewhere: from the top, from the package, or beside the page.

    The bare name of a Python file may be that of any module.
    """
    places = (ROOT, ROOT / "queuectl", page.parent)
    if "/" not in path:
        modules = (module for top in MODULES for module in (ROOT / top).rglob("*.py"))
        return (ROOT / path).exists() or any(module.match(path) for module in modules)
    return any(next(place.glob(path.rstrip("/")), None) for place in places)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_path_that_a_page_names_is_there(page: Path) -> None:
    named = named_paths(page.read_text(encoding="utf-8"))
    assert sorted(path for path in named if not is_there(path, page)) == []


def test_a_path_that_is_not_there_is_noticed() -> None:
    page = "`queuectl/domain/settings.py`, `queuectl/nowhere.py`, `gone.py`, `stores/base.py`"
    named = named_paths(page)
    assert named == {
        "queuectl/domain/settings.py", "queuectl/nowhere.py", "gone.py", "stores/base.py",
    }  # fmt: skip
    missing = {path for path in named if not is_there(path, ROOT / "docs" / "page.md")}
    assert missing == {"queuectl/nowhere.py", "gone.py"}


def test_contributing_names_paths() -> None:
    assert len(named_paths(PAGES[0].read_text(encoding="utf-8"))) > 10
