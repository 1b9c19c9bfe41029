"""A node that can't see the driver's folder of the run, and works in a copy of it."""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.errors import StorageError
from daskrun.script.messages import BundleGone, BundleResult, Notice, RunBundle
from daskrun.script.node import Node
from daskrun.script.node_folders import ELSEWHERE, base_folder, claim, remove
from daskrun.script.wire import decode_trusted, encode
from daskrun.storage.content_cache import NotKeptError, open_cache
from daskrun.storage.folders import copy_writable
from daskrun.storage.mirror import Mirror
from daskrun.storage.trees import digest_of_tree, tree_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daskrun.script.messages import Told
    from daskrun.script.node import Tell
    from daskrun.script.node_spec import NodeSpec, RunCopy
    from daskrun.storage.url_folder import UrlFolder

CODE = "snapshot"
RECORDS_NEEDED = ("run.json", "resume.json")
NEEDED = (*RECORDS_NEEDED, CODE)
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
                remote, folder = open_url_folder(url, run.options), self._folder / "runs" / run_id
                code = run.code if run_id == spec.run_id else ""
                kept = code and self._has_code(remote, folder, code, spec.cache_limit)
                self._copy(remote, folder, run.resumed, RECORDS_NEEDED if kept else NEEDED)
            own = str(self._folder / "runs" / spec.run_id)
            self._node = Node(_with_copy(spec, run.folder, own), self._pass_on)
        except BaseException:
            self._remove()
            raise
        self._over = threading.Event()
        self._interval = run.log_interval
        self._thread = threading.Thread(target=self._keep, name="daskrun-put-logs", daemon=True)
        self._thread.start()

    def _has_code(self, remote: UrlFolder, folder: Path, digest: str, limit: int) -> bool:
        """Copy the run's code from what the machine keeps of it; False where it keeps nothing."""

        def fetch(to: Path) -> None:
            Mirror(to, remote, code=CODE).bring(CODE, over=True)
            if digest_of_tree(tree_of(to / CODE)) != digest:
                raise StorageError(
                    f"{remote.shown(CODE)} is not the code that was submitted: others have written "
                    "there. Submit the pipeline again."
                )

        def size() -> int:
            return sum(remote.sizes(CODE).values())

        try:
            if not limit:
                return False
            cache = open_cache(limit, self._note)
            entry = cache.get(f"code {digest}", size, fetch, aside=self._folder / ELSEWHERE)
        except NotKeptError as error:
            self._note(f"the code is not kept for later runs: {error}")
            return False
        try:
            copy_writable(entry.path / CODE, folder / CODE)
        finally:
            entry.close()
        return True

    def _note(self, text: str) -> None:
        self._tell(Notice(text))

    def _copy(self, remote: UrlFolder, folder: Path, resumed: bool, needed: Sequence[str]) -> None:
        (folder / LOGS).mkdir(parents=True)
        Mirror(folder, remote, code=CODE).bring(*needed, over=True)
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

    def _pass_on(self, message: Told) -> None:
        if isinstance(message, BundleResult):
            self._put(self._records)
        self._tell(message)

    def recall(self) -> None:
        """Take back all but what is in hand."""
        self._node.recall()

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
        while not self._over.wait(self._interval):
            self._put(self._logs, all_of_it=False)

    def _put(self, mirrors: list[Mirror], *, all_of_it: bool = True) -> None:
        """Put what is new; what the store refuses is tried again with what comes next."""
        try:
            for mirror in mirrors:
                mirror.put(all_of_it=all_of_it)
        except Exception as error:  # noqa: BLE001  (a thread less would be noticed by nobody)
            if str(error) != self._told:
                self._told = str(error)
                what = error if isinstance(error, OSError) else repr(error)
                self._tell(Notice(f"what the run logs can't be put: {what}"))

    def _remove(self) -> None:
        remove(self._folder)
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
