"""Committed rows of many parts, in mini-batch order, as one output that appears whole."""
