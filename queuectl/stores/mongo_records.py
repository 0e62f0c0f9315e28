"""Small records in MongoDB, one document each, that are changed only as they were read.

A write bears a stamp of its own, by which it is known again when its answer was lost, or when
the driver has sent it twice.
"""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError, PyMongoError

from queuectl.stores.mongo_documents import new_stamp
from queuectl.stores.mongo_link import Document, Documents, is_doubtful


def put(place: Documents, document: Document, before: Document | None) -> bool:
    """Write a document if the one that is there fits `before`, or if there is none (None)."""
    stamped = {**document, "stamp": new_stamp()}
    try:
        if before is None:
            place.insert_one(stamped)
            return True
        written = place.replace_one(before, stamped)
    except DuplicateKeyError:
        return _is_written(place, stamped)
    except PyMongoError as fault:
        if is_doubtful(fault) and _is_written(place, stamped):
            return True
        raise
    return written.matched_count == 1 or _is_written(place, stamped)


def _is_written(place: Documents, document: Document) -> bool:
    """Whether a write whose answer was lost, or that the driver repeated, was applied."""
    own = {"_id": document["_id"], "stamp": document["stamp"]}
    return place.find_one(own) is not None
