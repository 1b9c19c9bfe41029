"""``override``, which Python has from 3.12 on; nothing is imported for it in a script process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):
        """Mark a method as one that its base class describes."""
        method.__override__ = True
        return method


__all__ = ["override"]
