"""The benchmark of scale, small: it drives parts of the engine that no one else uses so."""

from __future__ import annotations

import os

import pytest

from benchmarks.rounds import one_round


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("dask", "0.5"), ("short",), ("10", "0.01")])
def test_it_gives_figures(arguments: tuple[str, ...]) -> None:
    environment = {**os.environ, "DASKRUN_BENCHMARK_ITEMS": "20"}
    figures = one_round("scale", *arguments, environment=environment)
    assert min(figures.values()) >= 0
    assert figures.get("efficiency", figures.get("bundles")) > 0
