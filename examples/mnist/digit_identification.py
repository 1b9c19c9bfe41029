"""Say which digit each image shows: the entry script of the tutorial, for TensorFlow 2.

``init()`` runs once in each script process, ``run(mini_batch)`` once for each mini-batch.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from daskrun import Model


def init() -> None:
    """Load the registered model, and let it predict once: the first call builds its graph."""
    global g_model

    model_path = Model.get_model_path("mnist")
    g_model = tf.saved_model.load(Path(model_path) / "mnist-tf")
    predict(np.zeros((1, 28, 28), np.float32))
    print(f"TensorFlow {tf.__version__} has loaded {model_path}")


def predict(images: np.ndarray) -> np.ndarray:
    """Give the most likely digit for each of the images (n, 28, 28)."""
    (scores,) = g_model.signatures["serving_default"](tf.constant(images)).values()
    return np.argmax(scores, axis=1)


def run(mini_batch: list[str]) -> list[str]:
    """Read the images of a mini-batch and predict them in one call of the model."""
    print(f"run method start: {__file__}, run({mini_batch})")

    # Prepare each image
    images = np.empty((len(mini_batch), 28, 28), np.float32)
    for number, path in enumerate(mini_batch):
        with Image.open(path) as image:
            images[number] = np.asarray(image.convert("L"))

    # One element for each image: its name and the best digit
    best = predict(images)
    return [f"{Path(path).name}: {digit}" for path, digit in zip(mini_batch, best, strict=True)]
