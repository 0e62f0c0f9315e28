"""The pure rules of queuectl: no I/O, no clock, no randomness, standard library only."""
