"""The commands on workers."""
