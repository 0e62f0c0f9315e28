"""The refusals of a batch: the first are told, all are counted, and a file has them whole."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TextIO

from queuectl.cli.root import MOST_REFUSALS
from queuectl.domain.errors import ExitCode, InvalidInput, QueuectlError
from queuectl.domain.text import printable
from queuectl.presentation.console import print_error, print_hint


class Refusals:
    """What was refused so far. `code` is the exit code of the first refusal, 0 without any."""

    def __init__(self, path: str | None = None, source: str | None = None) -> None:
        """Begin; `path` is the file for all of them, `source` the one that must not be it.

        Raises InvalidInput for a file that cannot be written.
        """
        self.count = 0
        self.code: int = ExitCode.OK
        self._told = 0
        self._path = path
        self._file = _opened(Path(path), source) if path is not None else None

    def add(self, fault: QueuectlError, where: str = "") -> None:
        """Count one, and write it into the file; when that is full, it is said and given up."""
        self.count += 1
        self.code = self.code or fault.exit_code
        if self._file is None:
            return
        place = f"{where}: " if where else ""
        try:
            self._file.write(printable(f"{place}{fault}") + "\n")
        except OSError as why:
            self._give_up(why)

    def tell(self, fault: QueuectlError, where: str = "") -> None:
        """Write one to standard error, if it is among the first."""
        self._told += 1
        if self._told <= MOST_REFUSALS:
            print_error(fault, where)

    def close(self) -> None:
        """End the file; say where those are that were not told."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as why:
                self._give_up(why)
                return
            if self.count:
                print_hint(f"{self._path} has every refusal")
        elif self.count > MOST_REFUSALS:
            rest = self.count - MOST_REFUSALS
            print_hint(f"… and {rest:,} more refusals: --refused FILE keeps every one")

    def _give_up(self, why: OSError) -> None:
        print_hint(f"warning: cannot write {self._path}: {why.strerror}")
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None


def _opened(path: Path, source: str | None) -> TextIO:
    with suppress(OSError):
        if source is not None and path.samefile(source):
            raise InvalidInput(f"--refused {path} is the file that the jobs are in")
    try:
        return path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        raise InvalidInput(f"cannot write {path}: {fault.strerror}") from fault
