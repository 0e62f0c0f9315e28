"""Files of parameters (CSV with a line of names, JSON, JSON lines), and of one value a line."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

from queuectl.cli.job_input import STANDARD_INPUT
from queuectl.domain.errors import InvalidInput
from queuectl.domain.sweep import Axis
from queuectl.domain.sweep_words import rows_axis
from queuectl.queue.sweep_text import mappings_axis
from queuectl.system.home import working_directory


def read_axis(path: str) -> Axis:
    """Return the rows of a file, in each of which the values go together.

    What the file is follows from the end of its name: .json, .jsonl, .tsv, else CSV, as is what
    comes from standard input (`-`). Raises InvalidInput.
    """
    text = _text_of(path)
    kind = Path(path).suffix.lower()
    try:
        if kind in (".json", ".jsonl", ".ndjson"):
            return mappings_axis(_objects(text, is_lines=kind != ".json"))
        return _table(text, "\t" if kind == ".tsv" else ",")
    except (InvalidInput, ValueError, csv.Error) as fault:
        hint = fault.hint if isinstance(fault, InvalidInput) else ""
        raise InvalidInput(f"{_name(path)}: {fault}", hint) from None


def read_values(path: str) -> list[str]:
    """Return the lines of a file. Raises InvalidInput."""
    text = _text_of(path)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _name(path: str) -> str:
    return "standard input" if path == STANDARD_INPUT else path


def _text_of(path: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
    except OSError as fault:
        working_directory(path)  # which may be gone
        raise InvalidInput(f"cannot read {path}: {fault.strerror}") from fault
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InvalidInput(f"{_name(path)}: not UTF-8 at byte {fault.start + 1}") from None


def _table(text: str, delimiter: str) -> Axis:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    rows: list[list[str]] = []
    for row in reader:
        if not row:
            continue
        if names is None:
            names = [name.strip() for name in row]
        elif len(row) != len(names):
            raise InvalidInput(
                f"line {reader.line_num} has {len(row)} values for {len(names)} names"
            )
        else:
            rows.append(row)
    if not rows:
        raise InvalidInput("there are no rows", "the first line has the names, each other a job")
    return rows_axis(names or [], rows)


def _objects(text: str, *, is_lines: bool) -> list[dict[str, object]]:
    """Return the objects of a JSON text; numbers stay as they are written."""
    texts = [line for line in text.splitlines() if line.strip()] if is_lines else [text]
    read = [json.loads(each, parse_float=str, parse_int=str) for each in texts]
    found = read if is_lines else read[0]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidInput('a row must be a JSON object, as in [{"lr": 0.1}, {"lr": 0.2}]')
    return found
