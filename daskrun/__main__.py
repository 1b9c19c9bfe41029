"""``python -m daskrun``: the command ``daskrun``."""

from __future__ import annotations

from daskrun.cli.app import main

if __name__ == "__main__":
    main()
