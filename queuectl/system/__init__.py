"""What the program needs of the machine: its home, processes, time, ids. Knows no store."""
