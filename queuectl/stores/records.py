"""Hooks, schedules, workers and events <-> what a store keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from queuectl.domain.errors import StoreRefused
from queuectl.domain.times import from_millis, to_millis
from queuectl.stores.serialization import UNREADABLE, Document, note_unreadable

if TYPE_CHECKING:
    from queuectl.domain.batch import Batch
    from queuectl.domain.events import RunFinished
    from queuectl.domain.hooks import Hook
    from queuectl.domain.host import HostRecord, HostReport
    from queuectl.domain.schedule import Schedule
    from queuectl.domain.worker_record import StopRequest, WorkerRecord

Kept = TypeVar("Kept")
Record = TypeVar("Record")

BATCH = 1000
"""How many records are written at once, where there are many; then others may write."""


def read_each(
    kind: str, found: Iterable[tuple[object, Kept]], read: Callable[[Kept], Record]
) -> list[Record]:
    """Return what `read` makes of the records of a kind, each kept under a name.

    One that cannot be read is passed over, and noted once.
    """
    result = []
    for name, kept in found:
        try:
            result.append(read(kept))
        except UNREADABLE:
            note_unreadable(f"{kind}s", name)
    return result


def read_named(kind: str, name: str, kept: Kept, read: Callable[[Kept], Record]) -> Record:
    """Return the record that was asked for by its name. Raises StoreRefused for a damaged one."""
    try:
        return read(kept)
    except UNREADABLE as fault:
        raise StoreRefused(
            f"the record of {kind} '{name}' is damaged ({fault})",
            hint="queuectl restore FILE, or on MongoDB mongorestore, brings a backup back",
        ) from fault


_EVENT_FIELDS = (
    "rev", "run", "queue", "finished_at", "attempts", "command", "started_at", "waited",
    "duration", "exit_code", "signal", "timed_out", "error", "cpu_seconds", "peak_memory",
)  # fmt: skip


def event_to_document(event: RunFinished) -> Document:
    """Return an event as its job's document keeps it: without the job, and what is empty."""
    values: Document = {name: getattr(event, name) for name in _EVENT_FIELDS}
    values["outcome"] = event.outcome.value
    if event.labels:
        values["labels"] = list(event.labels)
    return {name: value for name, value in values.items() if value is not None}


def event_from_document(document: Mapping[str, Any], job_id: str, seq: int) -> RunFinished:
    """Return the event that a job's document keeps."""
    from queuectl.domain.events import RunFinished, RunResult

    values: Document = {name: document.get(name) for name in _EVENT_FIELDS}
    values["outcome"] = RunResult(document["outcome"])
    values["labels"] = tuple(document.get("labels") or ())
    return RunFinished(seq=seq, job_id=job_id, **values)


SCHEDULE_FIELDS = (
    "name", "cron", "tz", "fields", "next_due", "created_at", "catch_up", "overlap", "paused",
    "last_due", "skipped_at", "skipped_why", "every", "anchor", "tz_version", "rev",
)  # fmt: skip
SCHEDULE_TIMES = ("next_due", "created_at", "last_due", "skipped_at", "anchor")
_LATER_FIELDS = ("every", "anchor", "tz_version")
"""What a schedule lacks that was stored before there were any."""


def schedule_to_document(schedule: Schedule) -> Document:
    """Return a schedule; `fields` is text, because a store may not like the names in it.

    `cron` is empty for one that has none, because the oldest tables demand a text.
    """
    from json import dumps

    document = {name: getattr(schedule, name) for name in SCHEDULE_FIELDS}
    return {**document, "cron": schedule.cron or "", "fields": dumps(schedule.fields)}


def schedule_from_document(document: Mapping[str, Any]) -> Schedule:
    """Return the schedule that a document holds."""
    from json import loads

    from queuectl.domain.schedule import Schedule

    values: Document = {
        name: document.get(name) if name in _LATER_FIELDS else document[name]
        for name in SCHEDULE_FIELDS
    }
    values["cron"] = values["cron"] or None
    for name in ("catch_up", "overlap", "paused"):
        values[name] = bool(values[name])
    values["fields"] = loads(values["fields"])
    return Schedule(**values)


def worker_to_document(worker: WorkerRecord) -> Document:
    """Return a worker's entry in the registry."""
    return {
        "id": worker.id,
        "pid": worker.process.pid,
        "started": worker.process.started,
        "boot": worker.process.boot,
        "host": worker.host,
        "home": worker.home,
        "queues": list(worker.queues),
        "started_at": worker.started_at,
        "heartbeat_at": worker.heartbeat_at,
        "stop": worker.stop.value if worker.stop else None,
        "slots": worker.slots,
        "resources": [list(pair) for pair in worker.resources] or None,
        "report": worker.report and report_to_text(worker.report),
    }


def worker_from_document(document: Mapping[str, Any]) -> WorkerRecord:
    """Return the worker that a document holds."""
    from queuectl.domain.worker_record import ProcessIdentity, WorkerRecord

    return WorkerRecord(
        id=document["id"],
        process=ProcessIdentity(document["pid"], document["started"], document["boot"]),
        host=document["host"],
        home=document["home"],
        queues=tuple(document["queues"]),
        started_at=document["started_at"],
        heartbeat_at=document["heartbeat_at"],
        stop=stop_request(document.get("stop")),
        slots=document.get("slots") or 1,
        resources=tuple((name, text) for name, text in document.get("resources") or ()),
        report=report_from_text(document.get("report")),
    )


_REPORTED = ("version", "processors", "load", "clock_offset", "is_drained")


def report_to_text(report: HostReport) -> str:
    """Return what a worker tells of its host as one text of JSON."""
    from json import dumps

    return dumps({name: getattr(report, name) for name in _REPORTED})


def report_from_text(text: str | None) -> HostReport | None:
    """Return what a worker told of its host; what a newer version told beside it is left out."""
    if not text:
        return None
    from json import loads

    from queuectl.domain.host import HostReport

    document = loads(text)
    return HostReport(**{name: document[name] for name in _REPORTED if name in document})


def stop_request(word: str | None) -> StopRequest | None:
    """Return what a worker is asked, if it is asked to stop; an unknown word asks nothing."""
    from queuectl.domain.worker_record import StopRequest

    return StopRequest(word) if word in list(StopRequest) else None


UNKNOWN = "unknown"
"""The field of a record that has, as JSON, what a newer version has written beside ours."""


def _known_alone(document: Document, names: Collection[str]) -> Document:
    """Return the fields of a record that this version knows, the others together in one."""
    from json import dumps

    others = {name: document.pop(name) for name in [*document] if name not in names}
    return {**document, UNKNOWN: dumps(others)} if others else document


def _with_unknown(document: Document) -> Document:
    """Return the fields of a record with those again that this version does not know."""
    from json import loads

    text = document.pop(UNKNOWN)
    return {**loads(text), **document} if text else document


_HOOK_TIMES = ("created_at", "changed_at", "alone_since")


def hook_to_text(hook: Hook) -> str:
    """Return a hook as one text of JSON, because nothing looks for what is in it.

    Its times are in milliseconds.
    """
    from dataclasses import asdict
    from json import dumps

    document = _with_unknown(asdict(hook))
    for name in _HOOK_TIMES:
        if document[name] is not None:
            document[name] = to_millis(document[name])
    return dumps(document)


def hook_from_text(text: str) -> Hook:
    """Return the hook in a text."""
    from json import loads

    from queuectl.domain.hooks import Format, Hook, Target

    document = _known_alone(loads(text), Hook.__match_args__)
    for name in _HOOK_TIMES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    document["target"] = Target(document["target"])
    document["format"] = Format(document["format"])
    document["events"] = tuple(document["events"])
    document["labels"] = tuple(document["labels"])
    return Hook(**document)


_HOST_TIMES = ("created_at", "drained_at", "seen_at")


def host_to_text(host: HostRecord) -> str:
    """Return what is kept of a host as one text of JSON, its times in milliseconds."""
    from json import dumps

    document: Document = {name: getattr(host, name) for name in type(host).__match_args__}
    document["losses"] = [
        [each.job_id, each.worker, to_millis(each.at), each.why] for each in host.losses
    ]
    for name in _HOST_TIMES:
        if document[name] is not None:
            document[name] = to_millis(document[name])
    return dumps(_with_unknown(document))


def host_from_text(text: str) -> HostRecord:
    """Return the record of a host in a text."""
    from json import loads

    from queuectl.domain.host import HostRecord, Loss

    document = _known_alone(loads(text), HostRecord.__match_args__)
    for name in _HOST_TIMES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    document["losses"] = tuple(
        Loss(job_id, worker, from_millis(at), why) for job_id, worker, at, why in document["losses"]
    )
    return HostRecord(**document)


_BATCH_TIMES = ("created_at", "ended_at", "last_end")


def batch_to_text(batch: Batch) -> str:
    """Return the record of a batch as one text of JSON, its times in milliseconds."""
    from json import dumps

    document = _with_unknown({name: getattr(batch, name) for name in type(batch).__match_args__})
    for name in _BATCH_TIMES:
        if document[name] is not None:
            document[name] = to_millis(document[name])
    return dumps(document)


def batch_from_text(text: str) -> Batch:
    """Return the record of a batch in a text."""
    from json import loads

    from queuectl.domain.batch import Batch

    document = _known_alone(loads(text), Batch.__match_args__)
    for name in _BATCH_TIMES:
        if document[name] is not None:
            document[name] = from_millis(document[name])
    document["ahead"] = tuple(document["ahead"])
    return Batch(**document)
