"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# A slow machine is not a failure; and in CI the same examples are tried each time.
settings.register_profile("daskrun", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("daskrun")
