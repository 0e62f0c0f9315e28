"""The commands on a whole store: making, checking, backing up, moving."""
