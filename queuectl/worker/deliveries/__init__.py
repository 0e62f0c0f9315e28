"""The deliveries of hooks, made beside the workers and their jobs."""
