"""Delimited files: CSV, TSV and their like."""
