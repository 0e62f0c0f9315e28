"""One run of a job: its program, its output, its processes. Knows no store."""
