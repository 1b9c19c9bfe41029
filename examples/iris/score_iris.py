"""Say of which species each flower is: the entry script.

``init()`` runs once in each script process, ``run(mini_batch)`` once for each mini-batch.
"""

import argparse

import joblib
import pandas as pd

from daskrun import Model


def init() -> None:
    """Read the step's arguments and load the registered model."""
    global g_least, g_model

    parser = argparse.ArgumentParser()
    parser.add_argument("--least", type=float, default=0.0)
    g_least = parser.parse_args().least
    g_model = joblib.load(Model.get_model_path("iris"))


def run(mini_batch: pd.DataFrame) -> pd.DataFrame:
    """Predict all flowers of a mini-batch in one call; one row for each comes back."""
    chances = g_model.predict_proba(mini_batch[list(g_model.feature_names_in_)])
    best = chances.max(axis=1)
    species = pd.Series(g_model.classes_[chances.argmax(axis=1)])
    return pd.DataFrame(
        {
            "flower": mini_batch["flower"],
            "species": species.where(best >= g_least, "unsure"),
            "probability": best.round(3),
        }
    )
