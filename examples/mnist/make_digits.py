"""Make the tutorial's images: real handwritten digits as 28×28 grayscale PNG files.

Without a choice they are the 1,797 digits that come with scikit-learn (8×8 pixels, enlarged): 797
to train on, 1,000 to be scored. With ``--mnist-dir`` they are your own MNIST files (idx format,
``.gz`` or plain): trained on ``train-*`` and scored on ``t10k-*``, or, where there is only
``t10k-*``, four tenths of it are trained on and the others scored.

What it makes, in ``data/<set>/``::

    mnist/0.png, mnist/1.png, ...   the digits to be scored
    labels.csv                      what they are; the entry script never sees it
    train.npz                       images and labels to train on
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
SEED = 20200814
"""Of the shuffle before a split, so that everybody gets the same digits."""


class Digits(NamedTuple):
    """Images are uint8 arrays (n, 28, 28), white on black; labels are n digits."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    images: np.ndarray
    labels: np.ndarray


def split(name: str, images: np.ndarray, labels: np.ndarray, train: int) -> Digits:
    """Shuffle, and set the first ``train`` digits apart for training."""
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order], labels[order]
    return Digits(name, images[:train], labels[:train], images[train:], labels[train:])


def bundled_digits() -> Digits:
    """Read scikit-learn's digits, enlarged into the 20×20 box that MNIST's are drawn in."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    images = np.zeros((len(bundled.images), 28, 28), np.uint8)
    for image, small in zip(images, bundled.images, strict=True):
        gray = Image.fromarray((small * (255 / 16)).astype(np.uint8))
        image[4:24, 4:24] = np.asarray(gray.resize((20, 20), Image.Resampling.BICUBIC))
    return split("digits", images, bundled.target.astype(np.uint8), train=797)


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of bytes: two zeros, type 8, number of dimensions, dimensions, values."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if data[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is not an idx file of bytes: it begins with {data[:4]!r}.")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def find_idx(folder: Path, stem: str, dimensions: int) -> Path | None:
    """Find an idx file under one of the names it is spread by."""
    for name in (f"{stem}-idx{dimensions}-ubyte", f"{stem}.idx{dimensions}-ubyte"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def mnist_digits(folder: Path) -> Digits:
    """Read the MNIST files in ``folder``."""
    paths = [
        find_idx(folder, f"{part}-{what}", dimensions)
        for part in ("t10k", "train")
        for what, dimensions in (("images", 3), ("labels", 1))
    ]
    if paths[0] is None or paths[1] is None:
        raise SystemExit(
            f"--mnist-dir={folder} holds no t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
            "(plain or .gz). Name the folder that has MNIST's files."
        )
    images, labels = read_idx(paths[0]), read_idx(paths[1])
    if paths[2] is None or paths[3] is None:
        digits = split("", images, labels, train=len(images) * 4 // 10)
    else:
        digits = Digits("", read_idx(paths[2]), read_idx(paths[3]), images, labels)
    # The name tells sets apart by content: other files never meet an earlier set's model.
    mark = zlib.crc32(digits.labels, zlib.crc32(digits.train_labels))
    return digits._replace(name=f"mnist-{len(digits.images)}-{mark:08x}")


def write(digits: Digits, folder: Path) -> None:
    """Write a set beside ``folder``, then give it its name: it is there whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "mnist").mkdir(parents=True)
    for number, image in enumerate(digits.images):
        Image.fromarray(image).save(unfinished / "mnist" / f"{number}.png")
    with (unfinished / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Filename", "Label"])
        rows.writerows([f"{number}.png", label] for number, label in enumerate(digits.labels))
    np.savez_compressed(
        unfinished / "train.npz", images=digits.train_images, labels=digits.train_labels
    )
    unfinished.rename(folder)


def make_digits(mnist_dir: Path | None = None, data: Path = HERE / "data") -> Path:
    """Give the folder of the set, made now if it isn't there."""
    if mnist_dir is None and (data / "digits").is_dir():
        return data / "digits"  # saves importing scikit-learn, which takes seconds
    digits = bundled_digits() if mnist_dir is None else mnist_digits(mnist_dir)
    folder = data / digits.name
    if not folder.is_dir():
        write(digits, folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the images of the MNIST example.")
    parser.add_argument("--mnist-dir", type=Path, help="folder with MNIST's idx files")
    folder = make_digits(parser.parse_args().mnist_dir)
    scored = sum(1 for _ in (folder / "mnist").iterdir())
    print(f"{scored} digits to score in {folder / 'mnist'}")


if __name__ == "__main__":
    main()
