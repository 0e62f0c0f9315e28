"""Where the output of runs is kept for every host, as the setting `log_store` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.stores.base import Store
    from queuectl.stores.components import RunLogs

IN_STORE = "store"
"""The value of `log_store` that means the store of the jobs."""


WORKERS = ".workers/"
"""Below this, as if each host were a job, are the logs of workers; no job's id begins so.

What stands for the run is when the log was written to last, in milliseconds since 1970, for the
claim the name of the log.
"""


def open_run_logs(store: Store, log_store: str) -> RunLogs | None:
    """Return where the output of runs is kept; None: on the host of each run alone.

    Raises InvalidInput for an address that cannot be used here.
    """
    if not log_store:
        return None
    if log_store == IN_STORE:
        return store.run_logs  # an embedded one has one host, whose files are enough
    from queuectl.stores.object_logs import ObjectLogs

    return ObjectLogs(log_store)
