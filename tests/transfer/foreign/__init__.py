"""Readers of what other programs keep."""
