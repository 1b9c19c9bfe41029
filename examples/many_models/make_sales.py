"""Make weekly sales of orange juice: four stores, three brands, 130 weeks each.

They are invented, from a fixed seed: a level of the store and the brand, summers in which more is
sold, a trend, a price that moves it, weeks with an advertisement, and chance. What is made, and
left as it is where it is there already::

    data/history.csv   the first 120 weeks: store, brand, week, price, advert, sold
    data/coming.csv    the last 10: the same columns but `sold`
    data/sold.csv      what was sold in these; the entry scripts never see it
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
STORES = (1001, 1002, 1003, 1004)
BRANDS = ("brightside", "orchard", "sunny")
WEEKS = pd.date_range("2023-01-02", periods=130, freq="7D")
KNOWN = 120
"""Weeks of history."""


def sales(store: int, brand: str, chance: np.random.Generator) -> pd.DataFrame:
    """Give the weeks of one brand in one store, each with a behaviour of its own."""
    weeks = np.arange(len(WEEKS))
    price = chance.uniform(1.8, 3.2) + chance.normal(0, 0.15, len(weeks))
    advert = chance.random(len(weeks)) < 0.2
    season = chance.uniform(0.1, 0.4) * np.sin(2 * np.pi * (weeks - 13) / 52)
    trend = chance.normal(0, 0.3) * weeks / len(weeks)
    pull = chance.uniform(0.2, 0.6) * advert - chance.uniform(0.8, 2.0) * (price - price.mean())
    level = np.log(chance.uniform(2_000, 20_000))
    sold = np.exp(level + season + trend + pull + chance.normal(0, 0.05, len(weeks)))
    return pd.DataFrame(
        {
            "store": store,
            "brand": brand,
            "week": WEEKS.strftime("%Y-%m-%d"),
            "price": price.round(2),
            "advert": advert.astype(int),
            "sold": sold.round().astype(int),
        }
    )


def make_sales() -> None:
    """Write the files, unless they are there."""
    if (DATA / "sold.csv").exists():
        return
    DATA.mkdir(exist_ok=True)
    chance = np.random.default_rng(20200814)
    table = pd.concat(sales(store, brand, chance) for store, brand in product(STORES, BRANDS))
    table = table.sort_values(["week", "store", "brand"])  # as it comes in, week by week
    known = table["week"] < f"{WEEKS[KNOWN]:%Y-%m-%d}"
    table[known].to_csv(DATA / "history.csv", index=False)
    table[~known].drop(columns="sold").to_csv(DATA / "coming.csv", index=False)
    table[~known].drop(columns=["price", "advert"]).to_csv(DATA / "sold.csv", index=False)


if __name__ == "__main__":
    make_sales()
    print(f"sales in {DATA}")
