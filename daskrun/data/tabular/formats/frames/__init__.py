"""Dataframes of pandas and Dask, stored once as Parquet for a run."""
