"""JSON-lines files: one object a line."""
