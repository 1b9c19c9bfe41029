"""Make the example's flowers, and train its model.

The flowers are the 150 irises that come with scikit-learn: 60 to train on, 90 to be scored. What
is made, and left as it is where it is there already::

    data/flowers/garden.csv, greenhouse.csv   the flowers to be scored: a number, four measures
    data/species.csv                          what they are; the entry script never sees it
    models/iris.joblib                        a scikit-learn model, trained on the other flowers
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
MODEL = HERE / "models" / "iris.joblib"
SEED = 20200814
"""Of the split, so that everybody gets the same flowers."""


def flowers() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the flowers to train on and those to be scored: number, measures, species."""
    iris = load_iris(as_frame=True)
    table = iris.frame.drop(columns="target").rename(
        columns=lambda name: name.removesuffix(" (cm)")
    )
    table["species"] = iris.target_names[iris.target]
    table = table.reset_index(names="flower")
    train, score = train_test_split(
        table, train_size=60, random_state=SEED, stratify=table["species"]
    )
    return train, score


def write_data(table: pd.DataFrame) -> None:
    """Write the flowers to be scored into two files, and their species into another."""
    (DATA / "flowers").mkdir(parents=True, exist_ok=True)
    measured = table.drop(columns="species")
    measured[:40].to_csv(DATA / "flowers" / "garden.csv", index=False)
    measured[40:].to_csv(DATA / "flowers" / "greenhouse.csv", index=False)
    table[["flower", "species"]].to_csv(DATA / "species.csv", index=False)


def train_model(table: pd.DataFrame) -> None:
    """Train on measures that carry their names: the script asks the model which it wants."""
    measures = table.drop(columns=["flower", "species"])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(measures, table["species"])
    MODEL.parent.mkdir(exist_ok=True)
    # Written beside its place and renamed: a stopped training leaves no half a model.
    unfinished = MODEL.with_suffix(f".{os.getpid()}")
    joblib.dump(model, unfinished)
    unfinished.rename(MODEL)


def prepare() -> None:
    """Make what is not there yet."""
    train, score = flowers()
    if not (DATA / "species.csv").exists():
        write_data(score)
    if not MODEL.exists():
        train_model(train)


if __name__ == "__main__":
    prepare()
    print(f"flowers in {DATA / 'flowers'}, model in {MODEL}")
