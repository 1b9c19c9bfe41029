"""Forecast the coming weeks of one brand in one store: the entry script of the second step."""

import argparse
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from features import features


def init() -> None:
    """Read where the models are: what the first step has written."""
    global g_models

    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    g_models = parser.parse_args().models


def run(mini_batch: pd.DataFrame, mini_batch_context: object) -> pd.DataFrame:
    """Load the model of these weeks' store and brand; one row for each week comes back."""
    key = mini_batch_context.partition_key_value
    model = joblib.load(g_models / f"{key['store']}_{key['brand']}.joblib")
    forecast = np.exp(model.predict(features(mini_batch))).round().astype(int)
    return mini_batch[["store", "brand", "week"]].assign(forecast=forecast)
