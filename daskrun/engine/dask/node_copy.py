"""A node of a run that is kept behind a URL: it works in a copy, and puts what it writes."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from typing import TYPE_CHECKING, Any, Protocol

from daskrun.script.node import Node
from daskrun.script.node_folders import base_folder, claim
from daskrun.storage.mirror import Mirror

if TYPE_CHECKING:
    from daskrun.script.node import Tell
    from daskrun.storage.url_folder import UrlFolder

INTERVAL = 5.0
"""Seconds between two times that logs are put."""
CODE = "snapshot"
NEEDED = ("run.json", "resume.json", CODE)
"""What script processes read of the run's folder."""
RECORDS = frozenset({"metrics", "models_used", "models_read"})
"""What they write that counts: put before what they have done does."""
LOGS = "logs"
REWRITTEN = ("logs", "script", "inputs", "sys_path", "argv", "context")
"""Of a node's configuration, what holds paths in the run's folder."""


class AnyNode(Protocol):
    """What a worker asks of a node; see :class:`daskrun.script.node.Node`."""

    def run_bundle(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """Have a bundle run and wait for what became of it."""

    def stop(self, grace: float) -> None:
        """Take everything back."""

    def close(self) -> None:
        """End."""


def start_node(config: dict[str, Any], tell: Tell) -> AnyNode:
    """Start a node; with ``config["kept"]``, in a copy of the run's folder.

    Raises
    ------
    StorageError
        What the node needs can't be brought.
    """
    return CopiedNode(config, tell) if config["kept"] else Node(config, tell)


class CopiedNode:
    """A node with a folder of its own in the place of the run's.

    Parameters
    ----------
    config
        See :func:`daskrun.engine.nodes.node_config`.
    tell
        As that of a node.
    """

    def __init__(self, config: dict[str, Any], tell: Tell) -> None:
        from daskrun.storage.stores import open_url_folder

        kept, self._tell = config["kept"], tell
        name = f"{config['run_id']}-{config['node']}-{secrets.token_hex(3)}"
        self._folder = base_folder() / name
        self._claim = claim(self._folder)
        self._told = ""
        self._records: list[Mirror] = []
        self._logs: list[Mirror] = []
        try:
            whole = config["context"]["pipeline_run_id"]
            for run_id in dict.fromkeys((config["run_id"], whole)):
                url = f"{kept['url'].rpartition('/')[0]}/{run_id}"
                self._copy(open_url_folder(url, kept["options"]), run_id, kept["resumed"])
            moved = {key: config[key] for key in REWRITTEN}
            own = str(self._folder / "runs" / config["run_id"])
            self._node = Node({**config, **_moved(moved, kept["folder"], own)}, tell)
        except BaseException:
            self._remove()
            raise
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="daskrun-put-logs", daemon=True)
        self._thread.start()

    def _copy(self, remote: UrlFolder, run_id: str, resumed: bool) -> None:
        folder = self._folder / "runs" / run_id
        (folder / LOGS).mkdir(parents=True)
        Mirror(folder, remote, code=CODE).bring(*NEEDED, over=True)
        self._records.append(Mirror(folder, remote, lambda name: _top(name) not in RECORDS))
        logs = Mirror(folder, remote, lambda name: _top(name) != LOGS)
        if resumed:
            logs.bring(f"{LOGS}/user", over=True)  # they go on in the same files
        self._logs.append(logs)

    def run_bundle(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """Have a bundle run; what was logged as metrics is put before its results are told."""
        result = self._node.run_bundle(bundle)
        self._put(self._records)
        return result

    def stop(self, grace: float) -> None:
        """Take everything back."""
        self._node.stop(grace)

    def close(self) -> None:
        """End, and put what is left."""
        self._node.close()
        self._over.set()
        self._thread.join()
        self._put([*self._records, *self._logs])
        self._remove()

    def _keep(self) -> None:
        while not self._over.wait(INTERVAL):
            self._put(self._logs, all_of_it=False)

    def _put(self, mirrors: list[Mirror], *, all_of_it: bool = True) -> None:
        """Put what is new; what the store refuses is tried again with what comes next."""
        try:
            for mirror in mirrors:
                mirror.put(all_of_it=all_of_it)
        except OSError as error:
            if str(error) != self._told:
                self._told = str(error)
                self._tell("note", f"what the run logs can't be put: {error}")

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._claim)


def _top(name: str) -> str:
    return name.partition("/")[0]


def _moved(value: Any, before: str, after: str) -> Any:
    """Return plain values with what lies in one folder as lying in another."""
    if isinstance(value, str):
        inside = value == before or value.startswith(f"{before}/")
        return after + value[len(before) :] if inside else value
    if isinstance(value, dict):
        return {key: _moved(each, before, after) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(each, before, after) for each in value)
    return value
