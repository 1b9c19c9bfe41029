"""Times that daskrun waits by: one object for all, which tests of faults make with shorter ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Intervals:
    """Intervals and limits of waiting, in seconds, and how often something may happen.

    It goes where it is used as an argument: a step run has it in ``StepRequest.intervals``.
    """

    # a Dask cluster
    connect_limit: float = 30.0
    """A scheduler has to answer in it; the client's own limit ends with the TCP connection."""
    subscribe_limit: float = 20.0
    """A scheduler has to answer the subscription to the run's events in it."""
    register_limit: float = 20.0
    """The plugins' registration is waited for so long: one stopped worker answers never."""
    connection_look: float = 1.0
    """Between two looks at the connection while nothing comes back."""
    rejoin_interval: float = 15.0
    """What other workers tell of a lost run in it is the same loss."""
    begin_limit: float = 30.0
    """A worker has to begin a node in it; then another that is free gets the node."""
    fetch_limit: float = 20.0
    """Fetching one bundle's result may take so long: kilobytes, from a worker that has it."""
    health_interval: float = 2.0
    """Between two questions to the scheduler, each answered in about a millisecond."""
    pause_limit: float = 30.0
    """A worker of the run may take no tasks for so long; then its bundles go elsewhere."""
    silence_told: float = 10.0
    """After so long a silence of the scheduler the log says so."""
    least_silence: float = 30.0
    """A scheduler may be silent for so long at least: what others give it can keep it busy."""
    close_margin: float = 10.0
    """Nodes get so long to end, beyond ``shutdown_timeout``."""
    stopped_close: float = 6.0
    """Unregistering may take so long where the run was stopped: a stopped worker answers never."""
    silent_close: float = 0.5
    """Unregistering either plugin may take so long where the scheduler did not answer before."""
    client_grace: float = 2.0
    """A run is cleared from the cluster so long after its client has left the scheduler. A killed
    driver's connection ends at once, and nothing may outlive it by 5 s."""
    most_losses: int = 10
    """Nodes that may be lost with the same mini-batch out on them. A lost node charges nobody, so
    that nothing else ends a run whose entry script kills the worker, or the machine, it runs on."""

    # a run behind a URL
    lease_renewal: float = 10.0
    """Between two renewals of a lease."""
    lease_check: float = 2.5
    """Between two looks of a run's driver whether its lease is due to be renewed."""
    lease_lifetime: float = 60.0
    """After so long without a renewal another process may take a lease over."""
    lease_look: float = 1.0
    """Between two looks of who waits for a lease whether it is renewed."""
    upload_interval: float = 5.0
    """Between two uploads of what was written meanwhile."""
    log_interval: float = 10.0
    """Between two uploads of the logs of a node that can't see the driver's folder of the run."""
    closing_limit: float = 60.0
    """A store that fails at a run's end is asked again for so long, beyond its own retries."""
    closing_retry: float = 1.0
    """Between two tries of that."""

    # users
    cancel_look: float = 0.5
    """Between two looks whether another process asks a run to end."""
    cancel_limit: float = 10.0
    """A canceled run gets so long to end before a wait gives up on it."""
    abandoned: float = 24 * 3600.0
    """After so long what no record names is taken for a killed process's."""
    copying_told: float = 5.0
    """Between two lines that say how far copying is."""

    # a disk
    space_look: float = 2.0
    """Between two looks at the room on the disk of an output."""


USUAL = Intervals()
"""Those of runs; tests of faults have others."""
