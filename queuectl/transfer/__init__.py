"""Whole stores and parts of them on the move: export, import, and from one store to another."""
