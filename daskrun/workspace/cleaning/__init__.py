"""Removing what old and killed runs have left."""
