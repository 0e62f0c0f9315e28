"""The shell, whose editor is not loaded before the file that EDITOR_MAY_COME names is there."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from queuectl.cli import main

_LOOK_SECONDS = 0.01


class Gate(MetaPathFinder):
    """Finds nothing, and keeps whoever looks for the editor waiting."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Wait for the file if it is the editor that is looked for."""
        gate = Path(os.environ["EDITOR_MAY_COME"])
        while fullname == "queuectl.shell.prompt" and not gate.exists():
            time.sleep(_LOOK_SECONDS)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Gate())
    main()
