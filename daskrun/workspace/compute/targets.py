"""Compute targets: where the Dask workers of a run are, by name."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.core.codec import from_record, to_record
from daskrun.core.typing import override
from daskrun.engine.request import GivenCluster
from daskrun.errors import ComputeTargetException, NameNotFoundError, SettingsError
from daskrun.shown.html import table_html
from daskrun.workspace.compute.attaching import (
    REACHABLE,
    address_of,
    checked_bounds,
    checked_security,
    given_one,
    kept_security,
    remade_security,
)
from daskrun.workspace.compute.provisioning import (
    Cluster,
    Nodes,
    ProvisioningConfiguration,
    node_counts,
)
from daskrun.workspace.compute.waiting import number, wait_for_scheduler, wait_for_workers
from daskrun.workspace.layout import COMPUTE_TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.core.codec import JsonObject
    from daskrun.workspace.home import Home

_attached: dict[tuple[str, str], GivenCluster] = {}
"""Cluster objects attached in this process, by workspace folder and name: no file can hold them."""


class ComputeTarget(OriginalClass):
    """A place to run on, by name; ``ComputeTarget(ws, name)`` gives the kind it was made as.

    Raises
    ------
    ComputeTargetException
        There is none of that name.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun.workspace.workspace import Workspace
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> plan = AmlCompute.provisioning_configuration("STANDARD_D2_V2", min_nodes=0, max_nodes=4)
    >>> target = ComputeTarget.create(ws, "cpucluster", plan)
    >>> type(ws.compute_targets["cpucluster"]) is AmlCompute
    True
    """

    name: str
    workspace: Home
    _record: Nodes | Cluster

    def __new__(cls, workspace: Home, name: str) -> ComputeTarget:
        """Return the target of a name, of the class it was made as."""
        found = workspace.records.latest(COMPUTE_TARGETS, name)
        if found is None:
            known = workspace.records.names(COMPUTE_TARGETS)
            raise ComputeTargetException(str(NameNotFoundError("compute target", name, known)))
        value = found[1]
        kind: tuple[type, type] = AmlCompute, Nodes
        if value["type"] != Nodes.type:
            kind = DaskCompute, Cluster
        target: ComputeTarget = object.__new__(kind[0])
        target.name, target.workspace = name, workspace
        target._record = from_record(kind[1], value, known_only=True)
        return target

    @property
    def type(self) -> str:
        """What it was made as: ``AmlCompute``, or ``Dask`` for one that was attached."""
        return self._record.type

    @property
    def for_this_process(self) -> bool:
        """Whether no other process can use it: it has no address, or keys that no file holds."""
        record = self._record
        return isinstance(record, Cluster) and (record.address is None or record.tls == {})

    @staticmethod
    def create(
        workspace: Home, name: str, provisioning_configuration: ProvisioningConfiguration
    ) -> ComputeTarget:
        """Remember nodes of this machine under a name; an older one of that name is superseded."""
        if not isinstance(provisioning_configuration, ProvisioningConfiguration):
            given = type(provisioning_configuration).__name__
            problem = (
                f"provisioning_configuration is a {given}. "
                "Write AmlCompute.provisioning_configuration(vm_size=..., max_nodes=...)."
            )
            raise SettingsError("ComputeTarget.create", [problem])
        value = Nodes(**to_record(provisioning_configuration), created=time.time())
        workspace.records.create(COMPUTE_TARGETS, name, to_record(value))
        return ComputeTarget(workspace, name)

    @staticmethod
    @original_keywords
    def attach(
        workspace: Home,
        name: str,
        address: str | None = None,
        cluster: object = None,
        client: object = None,
        security: object = None,
        provisioning_configuration: ProvisioningConfiguration | None = None,
    ) -> ComputeTarget:
        """Remember a Dask cluster that is there, under a name.

        Parameters
        ----------
        address
            Of its scheduler, such as ``"tcp://10.0.0.5:8786"``.
        cluster, client
            Instead of ``address``: any Dask cluster or client object, with the security it has.
            Other processes can use the target only if its scheduler has an address they can reach,
            and needs no certificates.
        security
            With a ``tls://`` address: a ``distributed.Security``, or its keywords. Paths are
            kept for other processes; certificates and keys themselves are not.
        provisioning_configuration
            With ``cluster``: between how many workers it is scaled while runs have work for them
            (:meth:`AmlCompute.provisioning_configuration`); ``min_nodes`` are kept after. None: as
            the cluster's own ``adapt`` says, else ``node_count`` for the time of a run.
        """
        given = given_one(address, cluster, client)
        security = checked_security(security, address)
        bounds = checked_bounds(provisioning_configuration, given)
        if given is not None:
            reachable = str(address_of(given))
            address = reachable if reachable.startswith(REACHABLE) else None
            security = getattr(given, "security", None)
        value = Cluster(address, time.time(), bounds=bounds, tls=kept_security(security))
        workspace.records.create(COMPUTE_TARGETS, name, to_record(value))
        _attached.pop((workspace.location, name), None)
        if given is not None:
            _attached[workspace.location, name] = GivenCluster(given, bounds=bounds)
        elif security is not None:
            _attached[workspace.location, name] = GivenCluster(address, security)
        return ComputeTarget(workspace, name)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(name={self.name!r})"

    def _repr_html_(self) -> str:
        nodes = self.most_nodes
        rows = [("name", self.name), ("nodes", "as many as there are" if nodes is None else nodes)]
        return table_html(type(self).__name__, rows)

    @property
    def most_nodes(self) -> int | None:
        """How many nodes a run may ask for; None: as many as there are workers."""
        return None

    @property
    def dask_target(self) -> object:
        """What the engine is given: None for workers in this process, an address, or an object."""
        return None

    @property
    def notes(self) -> list[str]:
        """What was recorded and is not used, in words."""
        return []

    @original_keywords
    def wait_for_completion(
        self,
        show_output: bool = False,
        min_node_count: int | None = None,
        timeout_in_minutes: float | None = None,
    ) -> None:
        """Wait until the target can be used.

        Parameters
        ----------
        show_output
            Say so, once it can.
        min_node_count
            Workers that an attached cluster must have by then; None: any number. Nodes of this
            machine are started for a run, and need no waiting.
        timeout_in_minutes
            How long to wait; None: 20.

        Raises
        ------
        ComputeTargetException
            It can't be used by then.
        SettingsError
            An argument isn't a number, or below 0.
        """
        count = number("min_node_count", 0 if min_node_count is None else min_node_count, int)
        minutes = 20 if timeout_in_minutes is None else timeout_in_minutes
        minutes = number("timeout_in_minutes", minutes, float)
        most = self.most_nodes
        if most is not None and count > most:
            raise ComputeTargetException(
                f"min_node_count={min_node_count} is more than {self.name!r} has "
                f"(max_nodes={most}). Write {most} or less, or create it with more."
            )
        self._wait(time.monotonic() + 60 * minutes, count)
        if show_output:
            sys.stdout.write(f"Succeeded: compute target {self.name!r} is ready.\n")

    def _wait(self, deadline: float, count: int) -> None:
        """Wait until something answers; nodes of this machine need no waiting."""

    def get_status(self) -> ComputeStatus:
        """Return what is known of it now."""
        return ComputeStatus(self._record)

    @property
    def provisioning_state(self) -> str:
        """``Succeeded``: it was made when it was created."""
        return "Succeeded"

    def serialize(self) -> dict[str, object]:
        """Return it as plain values, with the original's names."""
        inner = self.get_status().serialize()
        state = self.provisioning_state
        told = {"computeType": self.type, "provisioningState": state, "properties": inner}
        return {"name": self.name, "properties": told}

    def delete(self) -> None:
        """Forget the target; the cluster itself is left alone."""
        self.workspace.records.delete(COMPUTE_TARGETS, self.name)
        _attached.pop((self.workspace.location, self.name), None)


class AmlCompute(ComputeTarget):
    """Nodes of this machine: each is a Dask worker in this process, started for a run."""

    _record: Nodes

    @staticmethod
    @original_keywords
    def provisioning_configuration(
        vm_size: str = "",
        min_nodes: int | str = 0,
        max_nodes: int | str = 4,
        *,
        vm_priority: str | None = None,
        idle_seconds_before_scaledown: float | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> ProvisioningConfiguration:
        """Return how many nodes there may be. Counts may be text, as environment variables are.

        All but ``max_nodes``, and ``min_nodes`` for a cluster object, is recorded and not used.

        Raises
        ------
        SettingsError
            A count isn't one, or ``max_nodes`` is below 1 or ``min_nodes``.
        """
        counts = node_counts(min_nodes, max_nodes)
        said = {
            "vm_priority": vm_priority,
            "idle_seconds_before_scaledown": idle_seconds_before_scaledown,
            "tags": tags,
            "description": description,
        }
        others = {name: repr(value) for name, value in said.items() if value is not None}
        return ProvisioningConfiguration(str(vm_size), **counts, others=others)

    @property
    @override
    def most_nodes(self) -> int:
        return self._record.max_nodes

    @property
    def vm_size(self) -> str:
        """The recorded size, which is not used."""
        return self._record.vm_size

    @property
    @override
    def notes(self) -> list[str]:
        others = self._record.others.items()
        more = "".join(f"{name}={shown}, " for name, shown in others)
        unused = f"{more}vm_size={self.vm_size!r} and min_nodes={self._record.min_nodes}"
        note = f"compute target {self.name!r}: {unused} are recorded and not used; "
        return [f"{note}its nodes are Dask workers on this machine, started for each run."]


class DaskCompute(ComputeTarget):
    """A Dask cluster somebody else started: an address, or an object of this process."""

    _record: Cluster

    @property
    @override
    def most_nodes(self) -> int | None:
        return self._record.bounds[1] if self._record.bounds else None

    @property
    @override
    def dask_target(self) -> object:
        """The address, Client or Cluster.

        Raises ComputeTargetException where it was attached as an object, by another process, and
        has no address.
        """
        if held := _attached.get((self.workspace.location, self.name)):
            return held if held.bounds or held.security is not None else held.at
        address, tls = self._record.address, self._record.tls
        if self.for_this_process or address is None:
            raise ComputeTargetException(
                f"compute target {self.name!r} was attached as an object by another process. "
                "Attach it again here: ComputeTarget.attach(ws, name, cluster=...) or address=..."
            )
        return GivenCluster(address, remade_security(tls)) if tls else address

    @override
    def _wait(self, deadline: float, count: int) -> None:
        address = self._record.address
        if address is None or not str(address).startswith(("tcp://", "tls://")):
            self.dask_target  # noqa: B018 - raises when nothing is known of it here
        else:
            wait_for_scheduler(self.name, address, deadline)
        if count:
            intervals = self.workspace.site.intervals
            wait_for_workers(self.name, self.dask_target, count, deadline, intervals)


@dataclass(frozen=True, slots=True)
class ComputeStatus(OriginalClass):
    """What is known of a compute target at one moment."""

    record: Nodes | Cluster

    def serialize(self) -> JsonObject:
        """Return it as plain values, with the original's names."""
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.record.created))
        status: JsonObject = {
            "allocationState": "Steady",
            "provisioningState": "Succeeded",
            "creationTime": created,
            "errors": None,
        }
        if isinstance(self.record, Nodes):
            least, most = self.record.min_nodes, self.record.max_nodes
            status["vmSize"] = self.record.vm_size
            status["currentNodeCount"] = status["targetNodeCount"] = least
            status["scaleSettings"] = {"minNodeCount": least, "maxNodeCount": most}
        else:
            status["address"] = self.record.address
            if self.record.bounds:
                least, most = self.record.bounds
                status["scaleSettings"] = {"minNodeCount": least, "maxNodeCount": most}
        return status
