"""What is said once in a process, however often it is the case."""

from __future__ import annotations

from daskrun.core.logs import get_logger

logger = get_logger("daskrun")
_said: set[str] = set()


def say_once(text: str) -> None:
    """Log a warning, unless this process has logged it already."""
    if text not in _said:
        _said.add(text)
        logger.warning("%s", text)


def forget() -> None:
    """Say all again, as a process does that begins."""
    _said.clear()
