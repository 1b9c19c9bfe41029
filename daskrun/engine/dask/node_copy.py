"""A node of a run that is kept behind a URL: it works in a copy, and puts what it writes."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.script.messages import Notice
from daskrun.script.node import Node
from daskrun.script.node_folders import base_folder, claim
from daskrun.script.wire import decode_trusted, encode
from daskrun.storage.mirror import Mirror

if TYPE_CHECKING:
    from daskrun.script.messages import BundleGone, BundleResult, RunBundle
    from daskrun.script.node import Tell
    from daskrun.script.node_spec import NodeSpec, RunCopy
    from daskrun.storage.url_folder import UrlFolder

INTERVAL = 5.0
"""Seconds between two times that logs are put."""
CODE = "snapshot"
NEEDED = ("run.json", "resume.json", CODE)
"""What script processes read of the run's folder."""
RECORDS = frozenset({"metrics", "models_used", "models_read"})
"""What they write that counts: put before what they have done does."""
LOGS = "logs"
REWRITTEN = ("script", "sys_path", "context")
"""Of what a script process is told, what holds paths in the run's folder."""


def start_node(spec: NodeSpec, tell: Tell) -> Node | CopiedNode:
    """Start a node, in a copy of the run's folder where it can't see the driver's."""
    return Node(spec, tell) if spec.run_copy is None else CopiedNode(spec, spec.run_copy, tell)


class CopiedNode:
    """A node with a folder of its own in the place of the run's; used as a ``Node`` is."""

    def __init__(self, spec: NodeSpec, run: RunCopy, tell: Tell) -> None:
        from daskrun.storage.stores import open_url_folder

        self._tell = tell
        self._folder = base_folder() / f"{spec.run_id}-{spec.node}-{secrets.token_hex(3)}"
        self._claim = claim(self._folder)
        self._told = ""
        self._records: list[Mirror] = []
        self._logs: list[Mirror] = []
        try:
            for run_id in dict.fromkeys((spec.run_id, spec.process.context.pipeline_run_id)):
                url = f"{run.url.rpartition('/')[0]}/{run_id}"
                self._copy(open_url_folder(url, run.options), run_id, run.resumed)
            own = str(self._folder / "runs" / spec.run_id)
            self._node = Node(_with_copy(spec, run.folder, own), tell)
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

    def run_bundle(self, bundle: RunBundle) -> BundleResult | BundleGone:
        """Run a bundle; what was logged as metrics is put before its result is returned."""
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
                self._tell(Notice(f"what the run logs can't be put: {error}"))

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._claim)


def _top(name: str) -> str:
    return name.partition("/")[0]


def _with_copy(spec: NodeSpec, before: str, after: str) -> NodeSpec:
    """Return the spec with paths in the driver's folder of the run as in another."""

    def moved(value: Any) -> Any:
        return _moved(value, before, after)

    told = spec.process
    process = replace(
        told,
        inputs=encode(moved(decode_trusted(told.inputs))),
        **{name: moved(getattr(told, name)) for name in REWRITTEN},
    )
    inputs, arguments = moved(spec.inputs), moved(spec.arguments)
    return replace(spec, logs=moved(spec.logs), process=process, inputs=inputs, arguments=arguments)


def _moved(value: Any, before: str, after: str) -> Any:
    """Return values with paths in one folder as in another."""
    if isinstance(value, str):
        inside = value == before or value.startswith(f"{before}/")
        return after + value[len(before) :] if inside else value
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value)]
        return replace(value, **{n: _moved(getattr(value, n), before, after) for n in names})
    if isinstance(value, dict):
        return {key: _moved(each, before, after) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(each, before, after) for each in value)
    return value
