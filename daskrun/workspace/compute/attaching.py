"""What may be attached as a compute target: an address, with certificates, or an object of Dask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.engine.dask.scaling import cluster_to_scale
from daskrun.errors import SettingsError
from daskrun.workspace.compute.provisioning import ProvisioningConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBJECT = "ComputeTarget.attach"
EXAMPLE = (
    "distributed.Security(tls_ca_file='ca.pem', tls_client_cert='c.pem', tls_client_key='k.pem')"
)
ENCRYPTED = ("tls://", "wss://")
REACHABLE = ("tcp://", "tls://", "ws://", "wss://", "ucx://")
"""How addresses begin that another process can connect to."""
FILES = ("tls_ca_file", "tls_client_cert", "tls_client_key")
"""Of ``distributed.Security``, what a client uses: paths, or the text of what would be in them."""


def is_address(text: str) -> bool:
    """Return whether a text can be a scheduler's address.

    Examples
    --------
    >>> is_address("tcp://10.0.0.5:8786"), is_address("tcp://10.0.0.5:87860"), is_address("a:1")
    (True, False, False)
    """
    port = text.rpartition(":")[2]
    return "://" in text and port.isdecimal() and int(port) < 2**16


def given_one(address: str | None, cluster: object, client: object) -> object:
    """Return the one thing that is attached; an object of Dask, or None for an address.

    Raises SettingsError where it isn't one, or no scheduler can be reached by it.
    """
    given = {"address": address, "cluster": cluster, "client": client}
    if sum(value is not None for value in given.values()) != 1:
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        problem = (
            f"{shown}: exactly one must be given. Write address='tcp://host:8786', "
            "cluster=<a Dask cluster> or client=<a Dask client>."
        )
    elif address is not None:
        if isinstance(address, str) and is_address(address):
            return None
        problem = f"address={address!r} is not a scheduler's. Write one like 'tcp://10.0.0.5:8786'."
    else:
        name, value = ("cluster", cluster) if client is None else ("client", client)
        if address_of(value):
            return value
        problem = (
            f"{name}={value!r} is neither a Dask cluster nor a client that is connected. "
            "Give one that runs, such as distributed.LocalCluster()."
        )
    raise SettingsError(SUBJECT, [problem])


def address_of(cluster: object) -> str | None:
    """Return scheduler's address of a cluster or client, by duck: distributed isn't imported."""
    address = getattr(cluster, "scheduler_address", None)  # a cluster's
    if address is None:
        scheduler = getattr(cluster, "scheduler", None)  # a client's
        address = getattr(scheduler, "address", None)
    return str(address) if address else None


def checked_bounds(asked: Any, given: object) -> tuple[int, int] | None:
    """Return between how many workers a cluster object is scaled, None where that is not said.

    Raises SettingsError where they are not said the right way, or of what can't be scaled.
    """
    if asked is None:
        return None
    name, problem = "provisioning_configuration=", ""
    if not isinstance(asked, ProvisioningConfiguration):
        problem = (
            f"{name} is of type {type(asked).__name__}. "
            "Write AmlCompute.provisioning_configuration(min_nodes=0, max_nodes=4)."
        )
    elif given is None:
        problem = f"{name} goes with cluster=: an address has the workers it has. Leave it out."
    elif cluster_to_scale(given) is None:
        problem = (
            f"{name} goes with a cluster that can be scaled, and {given!r} can't. Leave it out."
        )
    if problem:
        raise SettingsError(SUBJECT, [problem])
    return asked.min_nodes, asked.max_nodes


def checked_security(security: Any, address: str | None) -> Any:
    """Return ``security`` as Dask's class; None where there is none.

    Raises SettingsError where it isn't one, names a file that isn't there, or goes with something
    else than TLS.
    """
    if security is None:
        return None
    from distributed import Security  # takes most of a second

    problem = ""
    if isinstance(security, dict):
        try:
            security = Security(**security)  # type: ignore[no-untyped-call]
        except (TypeError, ValueError) as error:
            problem = f"security= is no Security: {error}. Write security={EXAMPLE}."
    elif not isinstance(security, Security):
        kind = type(security).__name__
        problem = f"security= is of type {kind}. Write security={EXAMPLE}."
    if not problem and address is None:
        problem = "security= goes with address=: a cluster or client has its own. Leave it out."
    elif not problem and str(address).startswith("tcp://"):
        other = str(address).replace("tcp://", "tls://")
        problem = (
            f"address={address!r} is not encrypted, and security= is. Write address={other!r}."
        )
    if problem:
        raise SettingsError(SUBJECT, [problem])
    missing = [
        f"security= has {name}={value!r}, and there is no such file."
        for name in FILES
        if (value := getattr(security, name)) and not _is_text(value) and not Path(value).is_file()
    ]
    if missing:
        raise SettingsError(SUBJECT, missing)
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as error:  # ssl.SSLError too
        problem = f"security= has certificates that can't be used: {error}. Give PEM files."
        raise SettingsError(SUBJECT, [problem]) from error
    if context is None and str(address).startswith(ENCRYPTED):
        problem = f"security= lacks tls_ca_file or tls_client_cert. Write security={EXAMPLE}."
        raise SettingsError(SUBJECT, [problem])
    return security


def kept_security(security: Any) -> dict[str, str] | None:
    """Return what another process can make the same security of: paths, never a key itself.

    None where there is nothing to keep, ``{}`` where only this process can have it.
    """
    values = {name: value for name in FILES if (value := getattr(security, name, None))}
    if getattr(security, "extra_conn_args", None) or any(map(_is_text, values.values())):
        return {}
    return {name: str(Path(value).absolute()) for name, value in values.items()} or None


def remade_security(kept: Mapping[str, str]) -> Any:
    """Return the security that :func:`kept_security` has kept the paths of."""
    return checked_security({**kept, "require_encryption": True}, "tls://")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\n" in value
