"""Fit a line for each store and brand: the entry script, which gets all its rows at once."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd


def init() -> None:
    """Read the arguments."""
    global g_args

    parser = argparse.ArgumentParser()
    for name in ("--target", "--column", "--models", "--note"):
        parser.add_argument(name)
    g_args, _ = parser.parse_known_args()


def run(mini_batch: pd.DataFrame, mini_batch_context: object) -> pd.DataFrame:
    """Keep the model of these rows, and return how far off it is."""
    key = mini_batch_context.partition_key_value
    x, y = mini_batch[g_args.column], mini_batch[g_args.target]
    slope, start = np.polyfit(x, y, 1)
    folder = Path(g_args.models, *key.values())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"slope": slope, "start": start}))
    error = np.abs(y - (start + slope * x)).mean()
    return pd.DataFrame([{**key, "error": round(float(error), 2)}])
