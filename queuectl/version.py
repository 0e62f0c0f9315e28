"""The version of this program, for whoever tells it."""

from __future__ import annotations

__version__ = "0.1.0"
