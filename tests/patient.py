"""queuectl with another patience for a server that is away: `python -m tests.patient status`."""

from __future__ import annotations

import os

from queuectl.stores import mongo_link

# Before the modules are loaded that take it over by its name.
mongo_link.SELECTION_SECONDS = float(os.environ["PATIENCE_OF_THE_TEST"])

if __name__ == "__main__":
    from queuectl.cli import main

    main()
