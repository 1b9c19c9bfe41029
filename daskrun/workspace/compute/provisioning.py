"""What a compute target is kept as, and what is asked for of nodes of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from daskrun.core.codec import record
from daskrun.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ProvisioningConfiguration:
    """What :meth:`AmlCompute.provisioning_configuration` gives."""

    vm_size: str
    """Recorded, and not used: nodes are Dask workers of this machine."""
    min_nodes: int
    """Workers that a cluster object keeps. Nodes of this machine are started for each run."""
    max_nodes: int
    """Workers that there are at most."""
    others: dict[str, str] = field(default_factory=dict)
    """What else was said, as it is shown: recorded, and not used."""


@record
@dataclass(frozen=True, kw_only=True)
class Nodes(ProvisioningConfiguration):
    """Nodes of this machine, as a workspace keeps them."""

    created: float
    """Seconds since 1970."""
    type: str = "AmlCompute"


@record
@dataclass(frozen=True)
class Cluster:
    """A cluster that was attached, as a workspace keeps it."""

    address: str | None
    created: float
    """Seconds since 1970."""
    type: str = "Dask"
    bounds: tuple[int, int] | None = None
    """Between how many workers it is scaled, where it is an object that can be."""
    tls: dict[str, str] | None = None
    """Paths of certificates and key, by the names of ``distributed.Security``; empty: no file has
    them, so that no other process can connect."""


def node_counts(min_nodes: int | str, max_nodes: int | str) -> dict[str, int]:
    """Check how many nodes there may be.

    Raises SettingsError where a count isn't one, or ``max_nodes`` is below 1 or ``min_nodes``.
    """
    counts, problems = {}, []
    for name, value, least in (("min_nodes", min_nodes, 0), ("max_nodes", max_nodes, 1)):
        try:
            counts[name] = int(value)
        except (TypeError, ValueError):
            problems.append(f"{name}={value!r} is not a number of nodes. Write {name}=4.")
            continue
        if counts[name] < least:
            problems.append(f"{name}={value!r} is too few. Write {least} or more.")
    if not problems and counts["max_nodes"] < counts["min_nodes"]:
        problems.append(
            f"max_nodes={max_nodes!r} is less than min_nodes={min_nodes!r}. Write more."
        )
    if problems:
        raise SettingsError("AmlCompute.provisioning_configuration", problems)
    return counts
