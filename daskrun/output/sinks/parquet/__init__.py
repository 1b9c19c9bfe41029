"""The format ``parquet``: row groups of script processes, put together in one file."""
