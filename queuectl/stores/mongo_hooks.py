"""Hooks in MongoDB: one document each, changed only if it is of the `rev` that was read."""

from __future__ import annotations

from queuectl.domain.hook import Hook
from queuectl.stores.hook_codec import hook_to_text, readable_hooks
from queuectl.stores.mongo_link import Document, Link, guarded
from queuectl.stores.mongo_records import put


class MongoHooks:
    """The part of `MongoStore` that keeps hooks."""

    link: Link

    @guarded
    def hooks(self) -> list[Hook]:
        """Return every hook, by name; see `Store.hooks`."""
        found = self.link.hooks.find().sort("_id", 1)
        return readable_hooks((each["_id"], each.get("record")) for each in found)

    @guarded
    def put_hook(self, after: Hook, before: Hook | None = None) -> bool:
        """Store a hook if it is as it was read; see `Store.put_hook`."""
        document = {**_fence(after), "record": hook_to_text(after)}
        return put(self.link.hooks, document, _fence(before) if before else None)

    @guarded
    def remove_hook(self, name: str) -> bool:
        """Forget a hook; return whether it was there."""
        return self.link.hooks.delete_one({"_id": name}).deleted_count == 1


def _fence(hook: Hook) -> Document:
    """Return what tells a hook from what it was before, and from another of its name."""
    return {"_id": hook.name, "rev": hook.rev, "created_at": hook.created_at}
