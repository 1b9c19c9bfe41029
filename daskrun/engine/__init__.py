"""Dispatch and accounting: the driver, the dispatchers it drives (inline, Dask), the worker plugin."""
