"""What works on jobs: a worker claims one, runs it, and commits how it ended."""
