"""pueue's tasks: its state file of versions 0.x to 4, gzipped or not, and `pueue status --json`."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from queuectl.domain.errors import InvalidInput
from queuectl.domain.field_checks import is_name
from queuectl.domain.frozen import replace
from queuectl.transfer.foreign.entry import (
    ONE_ATTEMPT,
    QUEUE,
    Context,
    Entry,
    decoded,
    digest_of,
    name_for,
    plain_name,
    stem_of,
)

_GZIP = b"\x1f\x8b"
_RUNS = ("Running", "Paused")
_SUCCESS = "Success"
_OF_PUEUE = "PUEUE_"

Json = Mapping[str, Any]


def read(data: bytes, context: Context) -> Iterator[Entry]:
    """Yield the groups as queues with limits, then the tasks in order of their ids.

    Raises InvalidInput for what is not of pueue.
    """
    state = _state(data)
    groups = _groups(state)
    for name, group in groups.items():
        yield from _queue(name, group)
    tasks = {str(task.get("id", key)): task for key, task in state["tasks"].items()}
    reader = _Tasks(tasks, groups, context)
    for key in sorted(tasks, key=lambda each: (len(each), each)):
        yield reader.entry(key)


def _state(data: bytes) -> Json:
    try:
        text = decoded(gzip.decompress(data) if data.startswith(_GZIP) else data)
        state = json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError) as fault:
        raise InvalidInput(f"it is not a state of pueue: {fault}") from None
    tasks = state.get("tasks") if isinstance(state, dict) else None
    if not isinstance(tasks, dict) or not all(isinstance(each, dict) for each in tasks.values()):
        raise InvalidInput("it is not a state of pueue: there are no tasks in it")
    return state  # type: ignore[no-any-return]  # a dict, as was looked at


def _groups(state: Json) -> dict[str, tuple[int, bool]]:
    """Return for each group how many tasks may run at once (0: any number), and if it is paused."""
    daemon = _object(_object(state.get("settings")).get("daemon"))
    numbers = _object(daemon.get("groups"))
    groups = _object(state.get("groups"))
    if isinstance(state.get("running"), bool):  # before 0.12, of the tasks that are in no group
        groups = {"default": state["running"], **groups}
    found: dict[str, tuple[int, bool]] = {}
    for name, group in groups.items():
        if isinstance(group, dict):  # from version 2 on
            parallel, status = group.get("parallel_tasks", 1), group.get("status")
        else:
            default = daemon.get("default_parallel_tasks", 1) if name == "default" else 1
            parallel, status = numbers.get(name, default), group
        is_paused = status in ("Paused", False)  # before 0.12 it is whether the group runs
        found[name] = (parallel if isinstance(parallel, int) else 1, is_paused)
    return found


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _queue(name: str, group: tuple[int, bool]) -> Iterator[Entry]:
    limit, is_paused = group
    if not limit:
        return
    entry = Entry(
        0, f"group {name}", kind=QUEUE, name=_queue_name(name), where=f"group {name}", limit=limit
    )
    if is_paused:
        entry = replace(entry, changes=("it is paused: its tasks are held instead",))
    yield entry


def _queue_name(group: str) -> str:
    return group if is_name(group) else plain_name(group)


class _Tasks:
    """Makes entries of tasks, and knows what has become of those that others wait for."""

    def __init__(
        self, tasks: Mapping[str, Json], groups: Mapping[str, tuple[int, bool]], context: Context
    ) -> None:
        self._tasks = tasks
        self._groups = groups
        self._context = context
        self._taken: dict[str, Entry] = {}

    def entry(self, key: str) -> Entry:
        """Return what becomes of a task; its parents have been asked for before."""
        task = self._tasks[key]
        command = task.get("command")
        where = f"task {key}"
        if not isinstance(command, str) or not command.strip():
            return Entry(0, "", where=where, refused="it has no command")
        identity = json.dumps([key, task.get("created_at"), task.get("path"), command])
        digest = digest_of("pueue", identity)
        label = task.get("label")
        name = name_for(label if isinstance(label, str) and label else stem_of(command), digest)
        entry = Entry(0, command, identity, name=name, where=where, digest=digest)
        word, about = _status(task)
        if word == "Done":
            return replace(entry, left=f"it has ended ({_result(task, about)})")
        if word in _RUNS:
            return replace(entry, left="it runs in pueue: it is listed, and not taken")
        if word not in ("Queued", "Stashed"):
            return replace(entry, refused=f"its status is {word or 'unknown'} in pueue")
        entry = self._waiting(entry, task, word, about)
        if entry.is_taken:
            self._taken[key] = entry
        return entry

    def _waiting(self, entry: Entry, task: Json, word: str, about: Json) -> Entry:
        fields: dict[str, Any] = {"command": task["command"], **ONE_ATTEMPT}
        changes: list[str] = []
        fields["cwd"] = task.get("path") or self._context.cwd
        if label := task.get("label"):
            fields["labels"] = [label]
        if priority := task.get("priority"):
            fields["priority"] = priority
        group = str(task.get("group") or "default")
        fields["queue"] = _queue_name(group)
        if fields["queue"] != group:
            changes.append(f"the group '{group}' is the queue '{fields['queue']}'")
        due = about.get("enqueue_at") or task.get("enqueue_at")
        if word == "Stashed" and due:
            fields["run_at"] = due
        elif word == "Stashed":
            fields["hold"] = True
            changes.append("it is stashed: held until queuectl resume")
        if "hold" not in fields and self._groups.get(group, (1, False))[1]:
            fields["hold"] = True
            changes.append("its group is paused: held until queuectl resume")
        after, refused = self._parents(task)
        if refused:
            return replace(entry, refused=refused)
        if after:
            fields["after"] = after
        return self._with_environment(replace(entry, fields=fields), task, changes)

    def _parents(self, task: Json) -> tuple[list[str], str]:
        """Return the jobs that a task waits for; the second value says why it cannot be taken."""
        after: list[str] = []
        dependencies = task.get("dependencies")
        for key in map(str, dependencies if isinstance(dependencies, list) else []):
            if key in self._taken:
                after.append(self._taken[key].name)
                continue
            parent = self._tasks.get(key)
            if parent is None:
                return [], f"it waits for task {key}, which is not in the file"
            word, about = _status(parent)
            if word != "Done" or _result(parent, about) != _SUCCESS:
                state = "has failed" if word == "Done" else "is not taken"
                return [], f"it waits for task {key}, which {state}"
        return after, ""

    def _with_environment(self, entry: Entry, task: Json, changes: list[str]) -> Entry:
        kept = {
            name: value
            for name, value in _object(task.get("envs")).items()
            if isinstance(value, str) and not name.startswith(_OF_PUEUE)
        }
        if not kept:
            return replace(entry, changes=tuple(changes))
        if self._context.with_env:
            changes.append(f"its environment of {len(kept)} variables is captured")
            return replace(entry, changes=tuple(changes), environment=tuple(sorted(kept.items())))
        changes.append(f"without its environment of {len(kept)} variables (--with-env)")
        return replace(entry, changes=tuple(changes))


def _status(task: Json) -> tuple[str, Json]:
    """Return the word for where a task stands, and what the state says with it."""
    status = task.get("status")
    if isinstance(status, str):
        return status, {}
    if isinstance(status, dict) and len(status) == 1:
        word, about = next(iter(status.items()))
        return str(word), about if isinstance(about, dict) else {"result": about}
    return "", {}


def _result(task: Json, about: Json) -> str:
    """Return how a task has ended: `Success`, `Failed 2`."""
    result = about.get("result", task.get("result"))
    if result is None and about:  # {"Done": {"Failed": 2}} up to version 2
        result = dict(about)
    if isinstance(result, dict) and result:
        word, number = next(iter(result.items()))
        return f"{word} {number}"
    return str(result)
