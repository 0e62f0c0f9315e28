"""Looking at the store again and again, for the live view and the web page."""
