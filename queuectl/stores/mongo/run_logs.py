"""The output of runs in GridFS, in the format that its tools read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bson.binary import Binary
from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from queuectl.stores import components
from queuectl.stores.exchange import KeptRun
from queuectl.stores.mongo.connection import Document, Documents, Link, in_words

_CHUNK = 255 * 1024
_THERE_ALREADY = 11000


@in_words
class MongoRunLogs(components.RunLogs):
    """The output of runs in two collections, `queuectl_logs.files` and `.chunks`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._files = link.database["queuectl_logs.files"]
        self._chunks = link.database["queuectl_logs.chunks"]
        self._is_prepared = False

    def put(self, runs: Sequence[KeptRun]) -> None:
        self._prepare()
        # the chunks first: what a crash leaves of a file that is not there is written again
        _insert(self._chunks, [chunk for run in runs for chunk in _chunks_of(run)])
        now = self.link.now()
        _insert(
            self._files,
            [
                {
                    "_id": _name(run),
                    "filename": run.job_id,
                    "length": len(run.data),
                    "chunkSize": _CHUNK,
                    "uploadDate": now,
                    "metadata": {"run": run.run, "claim_id": run.claim_id},
                }
                for run in runs
            ],
        )

    def get(self, job_id: str, run: int, claim_id: str) -> bytes | None:
        name = f"{job_id}/{run}/{claim_id}"
        file = self._files.find_one({"_id": name})
        if file is None:
            return None
        found = self._chunks.find({"files_id": name}).sort("n", ASCENDING)
        data = b"".join(chunk["data"] for chunk in found)
        return data if len(data) == file["length"] else None

    def remove(self, job_ids: Collection[str]) -> None:
        found = self._files.find({"filename": {"$in": list(job_ids)}}, {"_id": True})
        names = [file["_id"] for file in found]
        if names:
            self._files.delete_many({"_id": {"$in": names}})
            self._chunks.delete_many({"files_id": {"$in": names}})

    def jobs_below(self, prefix: str) -> list[str]:
        below = {"filename": {"$gte": prefix, "$lt": prefix[:-1] + chr(ord(prefix[-1]) + 1)}}
        return sorted(self._files.distinct("filename", below))

    def runs(self, job_id: str) -> list[tuple[int, str]]:
        found = self._files.find({"filename": job_id}, {"metadata": True})
        return [(file["metadata"]["run"], file["metadata"]["claim_id"]) for file in found]

    def remove_runs(self, job_id: str, runs: Collection[tuple[int, str]]) -> None:
        names = [f"{job_id}/{run}/{claim_id}" for run, claim_id in runs]
        self._files.delete_many({"_id": {"$in": names}})
        self._chunks.delete_many({"files_id": {"$in": names}})

    def _prepare(self) -> None:
        if not self._is_prepared:
            by_name = [("filename", ASCENDING), ("uploadDate", ASCENDING)]
            self._files.create_index(by_name, name="filename")
            by_file = [("files_id", ASCENDING), ("n", ASCENDING)]
            self._chunks.create_index(by_file, name="files_id", unique=True)
            self._is_prepared = True


def _name(run: KeptRun) -> str:
    return f"{run.job_id}/{run.run}/{run.claim_id}"


def _chunks_of(run: KeptRun) -> list[Document]:
    return [
        {"files_id": _name(run), "n": n, "data": Binary(run.data[start : start + _CHUNK])}
        for n, start in enumerate(range(0, len(run.data), _CHUNK))
    ]


def _insert(place: Documents, documents: Sequence[Document]) -> None:
    """Insert documents, but for those that are there, from a call whose answer was lost."""
    try:
        place.insert_many(documents, ordered=False)
    except BulkWriteError as fault:
        errors = (fault.details or {}).get("writeErrors", [])
        if not errors or any(error.get("code") != _THERE_ALREADY for error in errors):
            raise
