"""Who looks at the output of a run that goes on elsewhere, and what its worker answers."""

from __future__ import annotations

from datetime import timedelta

from queuectl.domain.times import later
from queuectl.stores import components
from queuectl.stores.exchange import LogAnswer, LogWish
from queuectl.stores.mongo.connection import Document, Link, in_words

_FORGOTTEN = timedelta(minutes=1)


def _own(worker_id: str) -> str:
    """Return for whom a wish is that is about a worker's own log: an older one finds none of it."""
    return f"log of {worker_id}"


@in_words
class MongoLogWishes(components.LogWishes):
    """A document for each who looks, with the latest answer in it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._wishes = link.database["queuectl_log_wishes"]

    def ask(self, wish: LogWish, seconds: float) -> None:
        now = self.link.now()
        self._wishes.delete_many({"until": {"$lt": now - _FORGOTTEN}})
        document: Document = {
            "worker": wish.worker if wish.job_id else _own(wish.worker),
            "job_id": wish.job_id,
            "run": wish.run,
            "at": list(wish.at),
            "asked": wish.asked,
            "until": later(now, seconds),
        }
        self._wishes.update_one({"_id": wish.id}, {"$set": document}, upsert=True)

    def wanted(self, worker_id: str) -> list[LogWish]:
        fresh = {"worker": {"$in": [worker_id, _own(worker_id)]}, "until": {"$gt": self.link.now()}}
        return [
            LogWish(
                each["_id"],
                worker_id,
                each["job_id"],
                each["run"],
                tuple(each["at"]),
                each["asked"],
            )
            for each in self._wishes.find(fresh, {"answer": False})
        ]

    def answer(self, wish: LogWish, answer: LogAnswer) -> None:
        as_asked = {"_id": wish.id, "asked": wish.asked}
        kept = {
            "asked": answer.asked,
            "parts": list(answer.parts),
            "sizes": list(answer.sizes),
        }
        self._wishes.update_one(as_asked, {"$set": {"answer": kept}})

    def answered(self, wish_id: str) -> LogAnswer | None:
        found = self._wishes.find_one({"_id": wish_id}, {"answer": True}) or {}
        kept = found.get("answer")
        if kept is None:
            return None
        return LogAnswer(kept["asked"], tuple(map(bytes, kept["parts"])), tuple(kept["sizes"]))

    def forget(self, wish_id: str) -> None:
        self._wishes.delete_one({"_id": wish_id})
