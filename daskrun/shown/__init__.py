"""Text as people may see it: nothing a terminal acts on, no secret of a URL."""
