"""The JSON API: one table of endpoints, which routes, describes and serves the forms."""
