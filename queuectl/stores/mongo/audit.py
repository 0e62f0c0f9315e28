"""The audit trail in MongoDB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from pymongo import DESCENDING

from queuectl.domain import audit
from queuectl.domain.audit import AuditEntry
from queuectl.stores.components import Audit
from queuectl.stores.mongo.connection import Document, Link, in_words

_SOME = 1000
"""So many acts too many are there before the oldest go: to count them costs a little."""


@in_words
class MongoAudit(Audit):
    """Who has changed what."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def add(self, entries: Sequence[AuditEntry]) -> None:
        documents = [
            {"at": each.at, "who": each.who, **audit.to_document(each)} for each in entries
        ]
        self.link.audit.insert_many(documents)
        if self.link.audit.estimated_document_count() > audit.MOST_ENTRIES + _SOME:
            self._shorten()

    def _shorten(self) -> None:
        oldest = self.link.audit.find({}, {"at": True}).sort([("at", DESCENDING)])
        for last in oldest.skip(audit.MOST_ENTRIES).limit(1):
            self.link.audit.delete_many({"at": {"$lte": last["at"]}})

    def find(
        self, since: datetime | None = None, who: str = "", limit: int = 100, skip: int = 0
    ) -> list[AuditEntry]:
        wanted: Document = {"at": {"$gte": since}} if since is not None else {}
        if who:
            wanted["who"] = {"$regex": re.escape(who), "$options": "i"}
        found = self.link.audit.find(wanted).sort([("at", DESCENDING), ("_id", DESCENDING)])
        return [
            audit.from_document(each["at"], each["who"], each)
            for each in found.skip(skip).limit(limit)
        ]

    def forget(self, before: datetime) -> int:
        return self.link.audit.delete_many({"at": {"$lt": before}}).deleted_count
