"""The output of runs in any store of objects that fsspec knows: `s3://…`, `file:///shared/…`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from queuectl.domain.errors import InvalidInput, StoreUnavailable
from queuectl.domain.text import without_passwords
from queuectl.stores import components
from queuectl.stores.exchange import KeptRun

_NAME = re.compile(r"(\d+)-(.+)\.tar\.gz")


class ObjectLogs(components.RunLogs):
    """An object for each run: `PREFIX/JOB/RUN-CLAIM.tar.gz`."""

    def __init__(self, url: str) -> None:
        """Take the address. Raises InvalidInput for one that fsspec, or an extra, does not know."""
        self._url = url
        try:
            fsspec: Any = import_module("fsspec.core")  # an extra, and slow to load
        except ImportError:
            raise InvalidInput(
                f"log_store = {without_passwords(url)} needs fsspec",
                hint="pip install 'queuectl-shell[logs]', with s3fs for s3://",
            ) from None
        try:
            self._files, root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as fault:
            raise InvalidInput(
                f"log_store = {without_passwords(url)} cannot be used: {fault}"
            ) from None
        self._root = str(root).rstrip("/")
        self._is_local = url.startswith("file:")

    def put(self, runs: Sequence[KeptRun]) -> None:
        """Keep the output of runs; see `RunLogs.put`."""
        with self._in_words():
            for run in runs:
                path = self._path(run.job_id, run.run, run.claim_id)
                if self._is_local:  # where nobody makes directories, and half a file can be seen
                    self._files.makedirs(self._directory(run.job_id), exist_ok=True)
                    self._files.pipe_file(f"{path}.part", run.data)
                    self._files.mv(f"{path}.part", path)
                else:
                    self._files.pipe_file(path, run.data)

    def get(self, job_id: str, run: int, claim_id: str) -> bytes | None:
        """Return the output of a run; see `RunLogs.get`."""
        with self._in_words():
            try:
                data: Any = self._files.cat_file(self._path(job_id, run, claim_id))
            except FileNotFoundError:
                return None
        return bytes(data)

    def remove(self, job_ids: Collection[str]) -> None:
        """Remove the output of jobs; see `RunLogs.remove`."""
        with self._in_words():
            self._files.invalidate_cache()  # of what it has listed before
            for job_id in job_ids:
                try:
                    self._files.rm(self._directory(job_id), recursive=True)
                except FileNotFoundError:
                    continue

    def jobs_below(self, prefix: str) -> list[str]:
        """Return the ids that begin so; see `RunLogs.jobs_below`."""
        return [f"{prefix}{name}" for name in self._names_in(self._directory(prefix.rstrip("/")))]

    def runs(self, job_id: str) -> list[tuple[int, str]]:
        """Return what there is of a job; see `RunLogs.runs`."""
        found = (_NAME.fullmatch(name) for name in self._names_in(self._directory(job_id)))
        return [(int(name[1]), name[2]) for name in found if name]

    def remove_runs(self, job_id: str, runs: Collection[tuple[int, str]]) -> None:
        """Remove the output of some runs; see `RunLogs.remove_runs`."""
        with self._in_words():
            for run, claim_id in runs:
                with suppress(FileNotFoundError):
                    self._files.rm_file(self._path(job_id, run, claim_id))

    def _names_in(self, directory: str) -> list[str]:
        with self._in_words():
            self._files.invalidate_cache()
            try:
                found: list[str] = self._files.ls(directory, detail=False)
            except FileNotFoundError:
                return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def _path(self, job_id: str, run: int, claim_id: str) -> str:
        return f"{self._directory(job_id)}/{run}-{claim_id}.tar.gz"

    def _directory(self, job_id: str) -> str:
        return f"{self._root}/{job_id}"

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn what goes wrong into one line of ours: each kind of store has errors of its own."""
        try:
            yield
        except Exception as fault:
            raise StoreUnavailable(self._trouble(fault)) from fault

    def _trouble(self, fault: Exception) -> str:
        told = str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
        return f"the log store {without_passwords(self._url)} does not answer: {told}"
