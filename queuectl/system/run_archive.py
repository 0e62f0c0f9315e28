"""The output of one run as one file: a tar.gz of `RUN.out`, `RUN.err` and `RUN.order`.

The log of a worker is packed likewise.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from queuectl.domain.errors import StoreRefused
from queuectl.system.home import open_private, private_directory
from queuectl.system.job_logs import JobLogs
from queuectl.system.run_reader import STREAMS, RunReader

_LEVEL = 3
"""Compresses text nearly as well as 9 does, in a fifth of the time."""

_WRITE = os.O_WRONLY | os.O_TRUNC


def pack(logs: JobLogs, job_id: str, run: int, most: int) -> bytes | None:
    """Return the output of a run, or None where it has none.

    Of a stream longer than `most` bytes the beginning and the end are kept. Raises OSError.
    """
    streams = [_stream(logs, job_id, run, name, most) for name in STREAMS]
    if not any(data for data, _ in streams):
        return None
    paths = [logs.stdout(job_id, run), logs.stderr(job_id, run)]
    files = [
        (path.name, data, _mtime(path)) for path, (data, _) in zip(paths, streams, strict=True)
    ]
    if not any(is_cut for _, is_cut in streams):  # else it tells of places that are gone
        with suppress(FileNotFoundError):
            files.append((f"{run}.order", logs.order(job_id, run).read_bytes(), 0))
    return _archive(files)


def pack_text(name: str, data: bytes) -> bytes:
    """Return an archive of one file."""
    return _archive([(name, data, 0)])


def unpack_text(data: bytes) -> bytes:
    """Return what is in an archive of one file. Raises StoreRefused for what is no archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            member = archive.next()
            file = archive.extractfile(member) if member is not None else None
            return file.read() if file is not None else b""
    except (tarfile.TarError, EOFError, OSError) as fault:
        raise StoreRefused("a log that was kept is damaged") from fault


def _mtime(path: Path) -> int:
    """Return when what came last was written, in seconds since 1970; 0 of a file that is gone."""
    try:
        return int(path.stat().st_mtime)
    except FileNotFoundError:
        return 0


def _archive(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data, mtime in files:
            entry = tarfile.TarInfo(name)
            entry.mtime = mtime
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(target.getvalue(), _LEVEL, mtime=0)


def unpack(data: bytes, logs: JobLogs, job_id: str, run: int) -> None:
    """Write the output of a run where `logs` has it. Raises StoreRefused for what is no archive."""
    directory = logs.directory(job_id)
    for place in (logs.home.root, logs.home.logs, logs.home.job_logs, directory):
        private_directory(place, parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            # standard output comes last: whoever finds it finds all
            paths = (logs.order(job_id, run), logs.stderr(job_id, run), logs.stdout(job_id, run))
            for path in paths:
                with suppress(KeyError):
                    entry = archive.getmember(path.name)
                    member = archive.extractfile(entry)
                    if member is not None:
                        with os.fdopen(open_private(path, _WRITE), "wb") as file:
                            file.write(member.read())
                        os.utime(path, (entry.mtime, entry.mtime))
    except (tarfile.TarError, EOFError, OSError) as fault:
        raise StoreRefused(f"the kept output of run {run} of job '{job_id}' is damaged") from fault


def _stream(logs: JobLogs, job_id: str, run: int, name: str, most: int) -> tuple[bytes, bool]:
    """Return at most so many bytes of a stream, and whether some were left out of the middle."""
    reader = RunReader(logs, job_id, run, (name,))
    try:
        size = sum(reader.sizes)
        if size <= most:
            return b"".join(piece.data for piece in reader.read()), False
    finally:
        reader.close()
    half = most // 2
    note = b"\n[queuectl: %d bytes dropped here, see log_store_bytes]\n" % (size - 2 * half)
    with getattr(logs, name)(job_id, run).open("rb") as file:
        head = file.read(half)
        file.seek(size - half)
        return head + note + file.read(half), True
