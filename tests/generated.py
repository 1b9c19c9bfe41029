"""How many examples the tests over generated data try, and whether the same ones each time.

By default a share of them, the same ones in each run: whether the gate passes is no matter of luck.
``DASKRUN_EXAMPLES`` in the environment is another share, of examples that no run has had before:
``DASKRUN_EXAMPLES=10`` for a thorough run.
"""

from __future__ import annotations

import os

RANDOM = "DASKRUN_EXAMPLES" in os.environ
SHARE = float(os.environ.get("DASKRUN_EXAMPLES", "0.3"))
LEAST = 10
"""Of each test, so that none becomes one of the empty file alone."""


def examples(count: int) -> int:
    """Give how many of a test's examples are tried now."""
    return max(LEAST, round(SHARE * count))
