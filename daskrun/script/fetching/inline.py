"""Remote files of mini-batches, brought by the process that runs them: there is no fetcher."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.data.paths import local_copies
from daskrun.data.remote_files import RemoteFolder
from daskrun.script.process_spec import CACHE, FETCH

if TYPE_CHECKING:
    from daskrun.core.minibatch import PlanInput


class MiniBatchFiles:
    """Brings what a mini-batch needs when it is loaded, one mini-batch at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetched(self, _: int, index: int, source: PlanInput, load: tuple[Any, ...]) -> list[str]:
        """Bring the remote files of a load, and return their local paths."""
        folder = self._folder / FETCH / str(index)
        if load[0] != "files":
            from daskrun.data.tabular.formats.node_cache import NodeCache
            from daskrun.data.tabular.loading.local_fetch import BroughtHere

            brought = BroughtHere(folder, NodeCache(str(self._folder / CACHE)))
            files = brought.bring(source, load)
            return [file.path for file in files or []]
        remote = RemoteFolder(source.root, source.storage_options)
        copies = local_copies(str(folder), load[1:])
        for name, target in copies.items():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            remote.fetch(name, target)
        return [copies[name] for name in load[1:]]

    def release(self, _: int, index: int) -> None:
        """Remove what was brought for a mini-batch."""
        shutil.rmtree(self._folder / FETCH / str(index), ignore_errors=True)
