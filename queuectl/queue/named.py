"""What schedules and hooks have in common: records with a name, changed by compare-and-set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from queuectl.domain.errors import NotFound, nearest
from queuectl.domain.hooks import Hook
from queuectl.domain.schedule import Schedule
from queuectl.queue.outpaced import Outpaced, retry_on_conflict

if TYPE_CHECKING:
    from queuectl.stores.base import Store

_R = TypeVar("_R", Schedule, Hook)


class NamedRecords(ABC, Generic[_R]):
    """The records of one kind; `missing_hint` is what to say where there is no store at all.

    `note` is told of every change that somebody makes.
    """

    KIND: ClassVar[str]
    HINT: ClassVar[str]

    def __init__(
        self,
        store: Store,
        missing_hint: str = "",
        note: Callable[[str, str], None] = lambda _act, _name: None,
    ) -> None:
        self._store = store
        self._note_act = note
        self._hint = missing_hint or self.HINT

    @abstractmethod
    def all(self) -> list[_R]:
        """Return every record, by name."""

    @abstractmethod
    def _find(self, name: str) -> _R | None:
        """Return one record, None if there is none of that name."""

    @abstractmethod
    def _save(self, after: _R, before: _R | None) -> bool:
        """Store a record in the place of `before`; return whether that was still there."""

    def _note(self, verb: str, name: str) -> None:
        """Note that somebody has changed a record, for the audit trail."""
        self._note_act(f"{self.KIND} {verb}", name)

    def get(self, name: str) -> _R:
        """Return one record. Raises NotFound, with the nearest name."""
        record = self._find(name)
        if record is None:
            close = nearest(name, [each.name for each in self.all()])
            raise NotFound(f"no {self.KIND} '{name}'{close}", hint=self._hint)
        return record

    @retry_on_conflict
    def _change(self, name: str, decide: Callable[[_R], _R]) -> _R:
        before = self.get(name)
        return self._saved(decide(before), before)

    def _saved(self, after: _R, before: _R | None) -> _R:
        """Store a record and return it. Raises Outpaced."""
        if not self._save(after, before):
            raise Outpaced(f"{self.KIND} '{after.name}'")
        return after
