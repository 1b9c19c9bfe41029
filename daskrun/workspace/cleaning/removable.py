"""One thing that can be removed, as :meth:`Workspace.clean` lists it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86400.0
"""Seconds."""


@dataclass(frozen=True)
class Removable:
    """A file or folder that can be removed."""

    what: str
    """Such as ``parts``."""
    run: str
    """Id of the run that it belongs to; ``""`` for none."""
    status: str
    """Status of that run, ``interrupted`` where its process was killed; ``""`` for no run."""
    days: float
    """Since when nothing has changed there."""
    bytes: int
    """Its size, as far as that is known without reading it."""
    place: str
    """Path, or URL without secrets."""
    free: Callable[[], None] = field(repr=False, compare=False)
    """Removes it, or raises the error that prevents that."""

    def __str__(self) -> str:
        of = f"run {self.run} ({self.status})" if self.status else self.run and f"run {self.run}"
        words = (self.what, shown_size(self.bytes), f"{self.days:.1f} days", of, self.place)
        return "  ".join(word for word in words if word)


def shown_size(count: int) -> str:
    """Return a number of bytes as messages show it.

    >>> shown_size(999), shown_size(1_234_567)
    ('999 B', '1.2 MB')
    """
    size, units = float(count), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    for larger in units:
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
