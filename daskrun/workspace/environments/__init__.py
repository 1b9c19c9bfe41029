"""Environments: the packages and the Python of the script processes."""
