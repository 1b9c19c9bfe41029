"""Train one model: the entry script of the first step.

A mini-batch is the whole history of one brand in one store, because the step's ``partition_keys``
are ``store`` and ``brand``: so many models are trained as there are combinations, side by side.
"""

import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from features import features
from sklearn.linear_model import LinearRegression

from daskrun import EntryScript, Run


def run(mini_batch: pd.DataFrame, mini_batch_context: object) -> pd.DataFrame:
    """Train on a history and write the model to the step's output."""
    key = mini_batch_context.partition_key_value
    # Logarithms: an advertisement adds so many percent, whatever is sold without it.
    wanted = np.log(mini_batch["sold"])
    model = LinearRegression().fit(features(mini_batch), wanted)

    target = Path(EntryScript().output_dir, f"{key['store']}_{key['brand']}.joblib")
    # Written beside its place and renamed: a process that is killed leaves no half a model.
    unfinished = target.with_suffix(f".{os.getpid()}")
    joblib.dump(model, unfinished)
    unfinished.rename(target)

    errors = np.abs(np.exp(model.predict(features(mini_batch)) - wanted) - 1)
    Run.get_context().log_row("models", **key, weeks=len(mini_batch), error=float(errors.mean()))
    return mini_batch  # every week of it was used
