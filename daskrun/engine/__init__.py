"""Dispatch and accounting: the driver, its dispatchers (inline, Dask), the worker plugin."""
