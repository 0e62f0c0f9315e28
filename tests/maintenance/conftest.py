"""The fixtures are those of the workers' tests."""

from tests.worker.conftest import fleet, impatient, leisurely, mongo_url, opened, store_url, workers

__all__ = ["fleet", "impatient", "leisurely", "mongo_url", "opened", "store_url", "workers"]
