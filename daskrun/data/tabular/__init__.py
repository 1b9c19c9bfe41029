"""Tables: delimited files, JSON lines, Parquet, SQL queries and dataframes, cut into mini-batches.

A script process loads :mod:`daskrun.data.tabular.loading.load` and the one format it reads;
nothing here is imported before a tabular dataset is made.
"""
