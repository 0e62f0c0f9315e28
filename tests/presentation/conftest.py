"""The fixtures of these tests."""

from tests.cli.harness import cli, home

__all__ = ["cli", "home"]
