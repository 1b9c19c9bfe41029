"""Say of which species each flower is: the one whose center is nearest."""

import argparse
import json
from pathlib import Path

import pandas as pd


def init() -> None:
    """Load the model."""
    global g_centers

    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    args, _ = parser.parse_known_args()
    g_centers = json.loads((args.model / "centers.json").read_text())


def run(mini_batch: pd.DataFrame) -> pd.DataFrame:
    """Return the flowers with their species."""
    distances = pd.DataFrame(
        {
            species: (mini_batch["petal_length"] - length) ** 2
            + (mini_batch["petal_width"] - width) ** 2
            for species, (length, width) in g_centers.items()
        }
    )
    return mini_batch[["flower"]].assign(species=distances.idxmin(axis=1))
