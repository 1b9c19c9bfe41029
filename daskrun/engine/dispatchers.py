"""Which dispatcher a compute target means. Each is imported only where it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.plugins import entry_points, load
from daskrun.engine.request import INLINE

if TYPE_CHECKING:
    from daskrun.engine.dispatch import Dispatcher
    from daskrun.engine.request import StepRequest

DASK = "dask"
DISPATCHERS = {
    INLINE: "daskrun.engine.inline:InlineDispatcher",
    DASK: "daskrun.engine.dask.dispatcher:DaskDispatcher",
}
"""By kind of target; each is called with the :class:`StepRequest`."""
DASK_SCHEMES = frozenset({"tcp", "tls", "ws", "wss", "ucx", "inproc"})
GROUP = "daskrun.dispatchers"
"""Entry points, named by the scheme of the URLs that they take as targets."""


def make_dispatcher(request: StepRequest) -> Dispatcher:
    """Make what runs the bundles of ``request``.

    ``target`` is ``"inline"`` (this process), None (Dask workers in this process), an address, a
    ``distributed.Client`` or any Dask cluster object, a URL of an entry point's scheme, or what
    makes a dispatcher when it is called with the request.
    """
    target = request.target
    if callable(target):
        made: Any = target(request)
    elif registered(target):
        made = entry_points(GROUP)[str(target).partition("://")[0]].load()(request)
    else:
        made = load(DISPATCHERS[INLINE if target == INLINE else DASK])(request)
    return made  # type: ignore[no-any-return]


def registered(target: object) -> bool:
    """Return whether a target is a URL that an installed package has a dispatcher for."""
    scheme, separator, _ = target.partition("://") if isinstance(target, str) else ("", "", "")
    return bool(separator) and scheme not in DASK_SCHEMES and scheme in entry_points(GROUP)
