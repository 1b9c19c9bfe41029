"""Compute targets: where the Dask workers of a run are."""
