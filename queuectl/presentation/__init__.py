"""What is seen of a store, looked at again and again, and how it is put for people."""
