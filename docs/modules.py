"""The list of modules in `architecture.md`, made from the first line of each one's docstring.

python -m docs.modules          writes it
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- modules: python -m docs.modules -->\n```\n", "```\n<!-- end of the modules -->\n"


def title(path: Path) -> str:
    """Return the first line of a module's docstring; empty without one."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def entries(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Yield name and title of a package, its modules and the packages in it, with their indent."""
    yield f"{'  ' * depth}{folder.name}/", title(folder / "__init__.py")
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{'  ' * (depth + 1)}{path.name}", title(path)
    for path in sorted(folder.iterdir()):
        if (path / "__init__.py").exists():
            yield from entries(path, depth + 1)


def listing() -> str:
    """Return one line for each module of the package."""
    rows = list(entries(ROOT / "queuectl", 0))
    width = max(len(name) for name, _ in rows) + 2
    return "".join(f"{name:<{width}}{text}".rstrip() + "\n" for name, text in rows)


def with_listing(page: str) -> str:
    """Return the page with the list of modules as they are. Raises ValueError without a place."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no place for the list of modules")
    return f"{before}{BEGIN}{listing()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_listing(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
