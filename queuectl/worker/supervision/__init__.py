"""Starting workers, replacing those that die, and stopping them."""
