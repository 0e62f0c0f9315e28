"""queuectl with another patience: `python -m tests.patient`.

Of a store, of who completes, and until the shell reads the jobs.
"""

from __future__ import annotations

import os

from queuectl.cli import completion
from queuectl.stores.mongo import connection

# Before the modules are loaded that take it over by its name.
connection.SELECTION_SECONDS = float(os.environ.get("PATIENCE_OF_THE_TEST", "5"))
completion.MOST_SECONDS = float(os.environ.get("PATIENCE_OF_COMPLETION", "60"))

if __name__ == "__main__":
    from queuectl.cli import main

    if "PATIENCE_UNTIL_JOBS" in os.environ:
        from queuectl.shell import snapshot

        snapshot._JOBS_AFTER_SECONDS = float(os.environ["PATIENCE_UNTIL_JOBS"])

    main()
