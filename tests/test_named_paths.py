"""What is named is there: files in the documentation, and names in comments and docstrings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from functools import cache
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


# names in comments and docstrings

_NAME = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)(?:\(\))?`")
ELSEWHERE = frozenset("emit histogram_quantile nohup run_5 run_micros __setattr__".split())
"""Names that other programs give, and those that are put together."""


def texts_in(source: str) -> tuple[list[str], set[str]]:
    """Return the comments and docstrings of a file, and the words that its code is made of."""
    prose = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    words: set[str] = set()
    docstrings = set()
    for node in ast.walk(ast.parse(source)):  # a statement before the expression in it
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose.append(str(node.value.value))
            docstrings.add(node.value)
        elif isinstance(node, ast.Constant) and node not in docstrings:
            words.update(re.findall(r"\w+", str(node.value)))
        for name in ("id", "attr", "arg", "name", "module"):
            words.update(str(getattr(node, name, "")).split("."))
    return prose, words


def named_in(prose: Iterable[str]) -> set[str]:
    """Return the parts of the names between back quotes."""
    return {part for text in prose for name in _NAME.findall(text) for part in name.split(".")}


@cache
def python_files() -> dict[Path, tuple[set[str], set[str]]]:
    """Return of each Python file what it names between back quotes, and the words of its code."""
    files = {}
    for path in (path for top in MODULES for path in sorted((ROOT / top).rglob("*.py"))):
        prose, words = texts_in(path.read_text(encoding="utf-8"))
        files[path] = named_in(prose), words | {*path.relative_to(ROOT).with_suffix("").parts}
    return files


def test_each_name_in_comments_and_docstrings_is_that_of_something() -> None:
    known = {"py", "toml", *ELSEWHERE}.union(*(words for _, words in python_files().values()))
    lost = {str(path): named - known for path, (named, _) in python_files().items()}
    assert {path: names for path, names in lost.items() if names} == {}


def test_a_name_of_nothing_is_noticed() -> None:
    prose, words = texts_in('"""As `house.gone` and `f()` say."""\nf = 1  # see `house`\n')
    assert named_in(prose) - words == {"house", "gone"}
