"""One suite of tests for every store, and what only one of them has to show."""
