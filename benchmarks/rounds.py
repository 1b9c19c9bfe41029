"""Rounds in fresh interpreters, and how figures are shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 180.0
"""Seconds after which a round counts as hung."""


def asked_items(usual: int) -> int:
    """Give how many items ``--items`` asked for, in this process or the one that started it."""
    return int(os.environ.get("DASKRUN_BENCHMARK_ITEMS", "0")) or usual


def one_round(
    module: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    limit: float = LIMIT,
) -> Any:
    """Run ``python -m benchmarks.<module>`` and give what its last line says, as JSON.

    An interpreter of its own for each round: what one contestant has imported, allocated or left
    running can't slow the next one down.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        timeout=limit,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def middle(rounds: list[dict[str, Any]], key: str) -> float:
    """Give the median of one figure over all rounds."""
    return float(median(one[key] for one in rounds))


def show(what: str, value: float, unit: str, limit: float, digits: int = 1) -> bool:
    """Print a figure beside its target, with their ratio; tell whether it is met."""
    met = value <= limit
    word = "met" if met else "MISSED"
    figure = f"{value:,.{digits}f} {unit}"
    print(f"  {what:<58}{figure:>14}   target {limit:g} {unit}: {value / limit:.2f} x, {word}")
    return met


def show_least(what: str, value: float, unit: str, least: float) -> bool:
    """Print a figure that must not be below its target; tell whether it is met."""
    met = value >= least
    word = "met" if met else "MISSED"
    figure = f"{value:,.2f} {unit}"
    print(f"  {what:<58}{figure:>14}   target {least:g} {unit}: {value / least:.2f} x, {word}")
    return met


def show_spread(what: str, rounds: list[dict[str, Any]], key: str, scale: float = 1.0) -> None:
    """Print every round of a figure, so that a reader sees how far they are apart."""
    print(f"  {what}, each round: {', '.join(f'{one[key] * scale:.1f}' for one in rounds)}")
