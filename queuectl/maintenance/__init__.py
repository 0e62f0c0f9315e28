"""The chores that every worker does now and then; there is no leader."""
