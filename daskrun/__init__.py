"""Run a model, or any Python, over all your data: an entry script, a dataset, and Dask."""
