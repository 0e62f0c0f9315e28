"""The fixtures of these tests."""

from tests.stores.conftest import mongo_url

__all__ = ["mongo_url"]
"""The fixtures are those of the stores' own tests."""
