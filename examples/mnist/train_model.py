"""Train the example's model: a small convolutional network, saved as a TensorFlow SavedModel.

    python train_model.py <folder with train.npz> <folder for the model>

The seed is fixed. A model that is there already is left as it is. Others call :func:`make_model`,
which trains in a process of its own: TensorFlow does not come into theirs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
EPOCHS = 24


def train(images: np.ndarray, labels: np.ndarray, folder: Path) -> float:
    """Train on uint8 ``images`` (n, 28, 28), save to ``folder``, give the accuracy on them."""
    # Its start-up notes; set before the import, which reads it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    model = keras.Sequential(
        [
            keras.Input((28, 28), name="images"),
            # Scaling is in the model, so that the entry script hands over pixels as they are.
            keras.layers.Rescaling(1 / 255),
            keras.layers.Reshape((28, 28, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, name="digit"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    # Few images need more rounds to as many steps; many need no more than a few.
    epochs = EPOCHS if len(images) < 20_000 else 2
    model.fit(images.astype("float32"), labels, batch_size=32, epochs=epochs, verbose=0)
    _, accuracy = model.evaluate(images.astype("float32"), labels, verbose=0)
    model.export(folder / "mnist-tf", verbose=False)
    return float(accuracy)


def make_model(digits: Path, models: Path = HERE / "models") -> Path:
    """Give the folder of the model for a set of digits, trained now if it isn't there."""
    folder = models / digits.name
    if not folder.is_dir():
        command = [sys.executable, __file__, str(digits), str(folder)]
        # TensorFlow's notes on the machine go to stderr: shown only where there is an error too.
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{done.stderr}\nThe training failed with exit code {done.returncode}."
            )
    return folder


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    digits, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if folder.is_dir():
        print(f"The model in {folder} is used as it is. Delete the folder to train anew.")
        return
    with np.load(digits / "train.npz") as data:
        images, labels = data["images"], data["labels"]
    print(f"Training on {len(images)} digits ...", flush=True)
    start = time.monotonic()
    # Written beside its place and renamed: a stopped training leaves no half a model.
    unfinished = folder.with_name(f".{folder.name}-{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        accuracy = train(images, labels, unfinished)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    seconds = time.monotonic() - start
    print(f"Trained in {seconds:.0f} s: {accuracy:.1%} of its own digits. Saved in {folder}")


if __name__ == "__main__":
    main()
