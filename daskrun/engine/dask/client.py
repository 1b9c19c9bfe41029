"""A client of a Dask scheduler: made within a limit, or whole undone with the reason."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from typing import TYPE_CHECKING, Any

from daskrun.engine.request import GivenCluster
from daskrun.errors import StorageError
from daskrun.shown.url_secrets import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable

ENCRYPTED = ("tls://", "wss://")


def open_client(target: object, limit: float, made: Callable[[Any], None]) -> threading.Event:
    """Make a client in a thread of its own: a silent scheduler can block it for ever.

    ``made`` gets it, or the error that tells why there is none; then the event is set.
    """
    done = threading.Event()

    def make() -> None:
        try:
            made(_client(target, limit))
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            made(error)
        done.set()

    threading.Thread(target=make, name="daskrun-client", daemon=True).start()
    return done


def synchronous(target: Any) -> object:
    """Return the address of an object of Dask whose event loop is its user's; else the target."""
    if not getattr(target, "asynchronous", False):
        return target
    address = getattr(target, "scheduler_address", None) or target.scheduler.address
    return GivenCluster(address, getattr(target, "security", None), loop_of_user=True)


def silent(target: object, limit: float, why: str = "") -> StorageError:
    """Return the error that no scheduler has answered."""
    hint = "Is it running, and is the address the one it printed at its start?"
    if isinstance(target, GivenCluster) and target.loop_of_user:
        hint = "Its event loop is the program's own: wait with await run, which does not block it."
    return StorageError(
        f"no Dask scheduler answered at {shown(target)} within {limit:g} s{why}. {hint}"
    )


def dashboard_of(client: Any) -> str:
    """Return the address of the dashboard of a client's scheduler, ``""`` where it tells none."""
    with contextlib.suppress(Exception):  # it has none, or whatever a cluster's own class raises
        return shown_url(client.dashboard_link or "")
    return ""


def shown(target: object) -> str:
    """Return a target as a message names it."""
    return str(target.at if isinstance(target, GivenCluster) else target)


def _client(target: object, limit: float) -> Any:
    from distributed import Client

    address, security = target, None
    if isinstance(target, GivenCluster):
        address, security = target.at, target.security
    if isinstance(address, str) and (trouble := tls_trouble(address, security)):
        raise StorageError(trouble)
    began = time.monotonic()
    client: Any = Client.__new__(Client)
    try:
        client.__init__(address, security=security, set_as_default=False, timeout=limit)
    except Exception as error:
        # where it is given up by itself only, it is closed as the process ends, for 60 s in vain
        with contextlib.suppress(Exception):
            client.close(timeout=limit)
        words = f"{type(error).__name__}: {error}"
        if time.monotonic() - began >= limit * 0.9:
            raise silent(target, limit, f" ({error})") from error
        tls = "; a scheduler with certificates has an address that begins with tls://"
        hint = tls if shown(target).startswith("tcp://") and isinstance(error, OSError) else ""
        raise StorageError(
            f"the Dask scheduler at {shown(target)} could not be connected to: {words}{hint}"
        ) from error
    return client


def tls_trouble(address: str, security: Any) -> str:
    """Return what an encrypted address lacks to be connected to; ``""`` if nothing."""
    import dask.config
    from distributed import Security

    if not address.startswith(ENCRYPTED) or dask.config.get("distributed.client.security-loader"):
        return ""
    scheme = address.partition("://")[0]
    try:
        found = (security or Security()).get_connection_args("client")["ssl_context"]
    except OSError as error:  # ssl.SSLError too
        what = getattr(error, "filename", None) or "a certificate or key"
        return f"{address}: {what} can't be used for {scheme}://: {error}"
    if found is not None:
        return ""
    return (
        f"{address} is encrypted, and no certificates are given. Write ComputeTarget.attach(ws, "
        f"name, address={address!r}, security=distributed.Security(tls_ca_file='ca.pem', "
        "tls_client_cert='cert.pem', tls_client_key='key.pem')), or set distributed.comm.tls in "
        "Dask's configuration"
    )


def exposed(address: str) -> str:
    """Return a warning of a scheduler that others than this machine reach without TLS; or ``""``.

    Examples
    --------
    >>> exposed("tcp://127.0.0.1:8786"), exposed("tls://10.0.0.5:8786"), exposed("inproc://a/1")
    ('', '', '')
    >>> exposed("tcp://10.0.0.5:8786").partition(":")[0]
    'the Dask scheduler listens at tcp'
    """
    scheme, _, place = address.partition("://")
    host = place.rpartition(":")[0].strip("[]")
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if near or scheme not in ("tcp", "ws"):
        return ""
    return (
        f"the Dask scheduler listens at {address} without TLS: who reaches it can run code on the "
        "cluster, and read what travels there, credentials of storage among it. Start scheduler "
        "and workers with certificates (--tls-ca-file, --tls-cert, --tls-key) where others can"
    )
