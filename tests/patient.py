"""queuectl with another patience, of a store and of who completes: `python -m tests.patient`."""

from __future__ import annotations

import os

from queuectl.cli import completion
from queuectl.stores import mongo_link

# Before the modules are loaded that take it over by its name.
mongo_link.SELECTION_SECONDS = float(os.environ["PATIENCE_OF_THE_TEST"])
completion.MOST_SECONDS = float(os.environ.get("PATIENCE_OF_COMPLETION", "60"))

if __name__ == "__main__":
    from queuectl.cli import main

    main()
