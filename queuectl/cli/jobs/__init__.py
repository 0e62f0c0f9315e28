"""The commands on jobs that are in the store."""
