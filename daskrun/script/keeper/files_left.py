"""Files that dead processes leave for URLs: put before their mini-batches can run elsewhere.

Else half a file of a process that was killed could be put by its neighbours later, over the whole
one that another node has made of the same mini-batch meanwhile.
"""

from __future__ import annotations

import selectors
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.script.keeper.child import Child, log_of
from daskrun.script.messages import BundleResult, FilesPut, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daskrun.script.keeper.spawn import Spawner
    from daskrun.script.node_spec import NodeSpec
    from daskrun.script.process_spec import ScriptOutput


class FilesLeft:
    """Results of dead processes, each held until what is in the folders of outputs is put.

    ``finish`` gets them then. Each wait ends when nothing is put for ``load_timeout`` seconds.
    """

    def __init__(
        self,
        spec: NodeSpec,
        selector: selectors.BaseSelector,
        finish: Callable[[BundleResult], None],
    ) -> None:
        self._spec = spec
        self._selector = selector
        self._finish = finish
        self._held: list[tuple[Child, float, BundleResult]] = []

    def __bool__(self) -> bool:
        """Return whether results are held."""
        return bool(self._held)

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that put files."""
        return [child.pid for child, _, _ in self._held]

    def hold(self, result: BundleResult, name: str, spawner: Spawner) -> None:
        """Pass a result on when the files of outputs are put: at once, if there are none.

        They are put as the process ``name`` would have: with its Python and its variables, which
        have what the URLs need.
        """
        if not are_files(spawner.files):
            self._finish(result)
            return
        log = log_of(self._spec, "put_files.txt")
        environment = spawner.environment(name)
        child = Child(
            self._spec,
            "put_files",
            log,
            spawner.files,
            program=spawner.program,
            environment=environment,
        )
        self._selector.register(child.pipe, selectors.EVENT_READ, lambda: None)
        self._held.append((child, time.monotonic() + self._spec.limits.load, result))

    def step(self, now: float) -> None:
        """Pass on what need not be held any more."""
        held, self._held = self._held, []
        for child, due, result in held:
            said, open_ = child.read()
            trouble = [each.trouble for each in said if isinstance(each, FilesPut)]
            if Signal.BEAT in said:
                due = now + self._spec.limits.load
            if not trouble and open_ and now < due:
                self._held.append((child, due, result))
                continue
            self._selector.unregister(child.pipe)
            child.end()
            lost = f"what a dead process had written could not be put: see {child.log}"
            self._finish(result._replace(trouble=result.trouble or (trouble or [lost])[0]))


def are_files(places: Sequence[ScriptOutput]) -> bool:
    """Return whether anything is in the folders of outputs, or was and has been put."""
    return any(_is_used(each.folder) for each in places)


def _is_used(folder: str) -> bool:
    from daskrun.output.parts.uploads import record_of  # here: most keepers do without

    try:
        record = Path(record_of(folder))
        return any(Path(folder).iterdir()) or (record.exists() and record.stat().st_size > 0)
    except OSError:
        return True  # the script has removed it, or has closed it to us
