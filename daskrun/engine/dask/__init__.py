"""Dispatch on Dask: what the driver does of it, and what its workers run."""
