"""queuectl with little patience for a server that is away: `python -m tests.hasty status`."""

from __future__ import annotations

import sys

from queuectl.stores import mongo_link

mongo_link.SELECTION_SECONDS = 0.5  # before the modules that take it over by its name

if __name__ == "__main__":
    from queuectl.cli import main

    sys.exit(main())
