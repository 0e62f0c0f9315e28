"""MongoDB as a store: many hosts share one queue."""
