"""Which dispatcher a compute target means. Dask is imported only where it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daskrun.engine.request import INLINE

if TYPE_CHECKING:
    from daskrun.engine.dispatch import Dispatcher
    from daskrun.engine.request import StepRequest


def make_dispatcher(request: StepRequest) -> Dispatcher:
    """Make what runs the bundles of ``request``.

    ``target`` is ``"inline"`` (this process), None (Dask workers in this process), an address, a
    ``distributed.Client`` or any Dask cluster object.
    """
    if request.target == INLINE:
        from daskrun.engine.inline import InlineDispatcher  # loads pandas-free, Dask-free code only

        return InlineDispatcher(request)
    from daskrun.engine.dask.dispatcher import DaskDispatcher

    return DaskDispatcher(request)
