"""The entry script: one dict for each text."""

from pathlib import Path


def run(mini_batch):
    """Count the words of each file."""
    found = []
    for path in map(Path, mini_batch):
        words = path.read_text(encoding="utf-8").split()
        found.append({"file": path.name, "words": len(words)})
    return found
