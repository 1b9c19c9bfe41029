"""Datastores: named folders and URLs for data."""
