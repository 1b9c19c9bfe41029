"""A path among a script's arguments that only its node knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodePath:
    """Stands among a script's arguments for a path that is known on its node only."""

    kind: str
    """``input``: of a step's input or side input; ``output``: of what the step writes."""
    name: str
    """The input's or output's."""
