"""Queries of SQL databases."""
