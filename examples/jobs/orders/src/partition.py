"""Write a table as a folder of files for each combination of keys, and the MLTable of these."""

import argparse
from pathlib import Path

import pandas as pd

parser = argparse.ArgumentParser()
parser.add_argument("--orders", type=Path, required=True)
parser.add_argument("--keys", required=True)
parser.add_argument("--table", type=Path, required=True)
args = parser.parse_args()

keys = args.keys.split(",")
for values, rows in pd.read_csv(args.orders).groupby(keys):
    folder = args.table.joinpath(*map(str, values))
    folder.mkdir(parents=True)
    rows.drop(columns=keys).to_parquet(folder / "rows.parquet", index=False)

form = "/".join(f"{{{key}}}" for key in keys)
(args.table / "MLTable").write_text(
    f"""\
type: mltable
paths:
  - pattern: ./*/*/*.parquet
transformations:
  - read_parquet: {{}}
  - extract_columns_from_partition_format: "{form}/*.parquet"
"""
)
