"""Draw digits as gray images: a command job, run once."""

import argparse
import random
from pathlib import Path

SHAPES = {"0": "### #.# #.# #.# ###", "1": ".#. ##. .#. .#. ###", "7": "### ..# .#. .#. .#."}

parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, required=True)
parser.add_argument("--folder", type=Path, required=True)
args = parser.parse_args()

chance = random.Random(7)
for number in range(args.count):
    digit = chance.choice(list(SHAPES))
    dark = (chance.randrange(40) for _ in iter(int, 1))  # noise without end
    pixels = bytes(
        255 - next(dark) if dot == "#" else next(dark) for dot in SHAPES[digit].replace(" ", "")
    )
    (args.folder / f"{number:03}-{digit}.pgm").write_bytes(b"P5 3 5 255\n" + pixels)
