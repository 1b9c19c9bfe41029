"""How many examples the tests over generated data try.

Each run of the tests tries others, so that a share of them each time is all of them in a few runs.
``DASKRUN_EXAMPLES`` in the environment is that share: ``DASKRUN_EXAMPLES=10`` for a thorough run.
"""

from __future__ import annotations

import os

SHARE = float(os.environ.get("DASKRUN_EXAMPLES", "0.3"))
LEAST = 10
"""Of each test, so that none becomes one of the empty file alone."""


def examples(count: int) -> int:
    """Give how many of a test's examples are tried now."""
    return max(LEAST, round(SHARE * count))
