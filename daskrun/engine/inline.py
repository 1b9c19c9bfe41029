"""The inline target: the same plan, script contract, parts and ledger in this process.

For a debugger. Nothing can be killed here: time-outs and memory limits do not apply, and what ends
the script's process ends this one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daskrun.core.events import (
    BundleReturned,
    InitFailed,
    NodeReady,
    ProcessReady,
    StopAsked,
)
from daskrun.core.minibatch import Descriptor
from daskrun.core.outcome import Outcome, ProcessInfo
from daskrun.core.typing import override
from daskrun.engine.dispatch import Dispatcher, Packed
from daskrun.engine.nodes import node_spec
from daskrun.engine.script_environment import surroundings
from daskrun.errors import DaskrunError, PartError, StorageError
from daskrun.output.parts.part import Part, ResultWriter, open_part
from daskrun.output.parts.uploads import OutputFiles
from daskrun.output.sinks.registry import open_sink
from daskrun.script.fetching.inline import MiniBatchFiles
from daskrun.script.node_folders import INLINE, base_folder, claim, clear_leftovers, remove
from daskrun.script.node_paths import Located, located
from daskrun.script.outcome_log import rowless
from daskrun.script.process.entry import EntryModule, error_of
from daskrun.script.process.execute import Executor
from daskrun.script.process.module_name import MODULES
from daskrun.script.process.tables import Tables
from daskrun.script.process_spec import CACHE, ProcessSpec
from daskrun.script.side_inputs.bring import Bringing
from daskrun.script.side_inputs.location import take_away
from daskrun.script.status_block import StatusBlock
from daskrun.script.wire import decode_trusted, shared_memory
from daskrun.shown.url_secrets import shown_text
from daskrun.storage.error_hints import store_remedy
from daskrun.storage.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from daskrun.engine.request import StepRequest

NODE = INLINE


class _CanceledError(Exception):
    """The run was canceled while files were brought for it."""


class InlineDispatcher(Dispatcher):
    """Runs each bundle when it is handed out, in the driver's thread."""

    def __init__(self, request: StepRequest) -> None:
        super().__init__()
        self._spec = node_spec(request, NODE, 1)
        self._script = self._spec.process.script
        self._stack = contextlib.ExitStack()
        self._folder = Path()
        self._part: Part | None = None
        self._files: list[OutputFiles] = []
        self._module: EntryModule | None = None
        self._executor: Executor | None = None
        self._stopped = False

    @override
    def start(self) -> None:
        for left in clear_leftovers(base_folder()):
            text = f"cleared up after a run whose process had been killed: {left}"
            self._note(text)
        name = f"{self._spec.run_id}-{NODE}-{secrets.token_hex(3)}"
        self._folder = base_folder() / name
        self._stack.callback(os.close, claim(self._folder))
        self._stack.callback(remove, self._folder)
        self._spec = replace(self._spec, folder=str(self._folder))
        self.events.put(NodeReady(NODE, 1, time.monotonic(), where="inline"))
        found = self._locate()
        if found is None:
            return
        spec, variables = found.process, {**found.variables, **self._spec.environment}
        self._script = spec.script
        self._stack.enter_context(surroundings(self._with_context(spec), variables))
        began = time.perf_counter()
        try:
            self._module = EntryModule(self._script, self._folder / MODULES)
            sink = open_sink(spec.sink, spec.sink_settings)
            self._module.init()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (an outcome, not a crash)
            failed = error_of(error, self._script)
            self.events.put(InitFailed(self._process(), failed, time.monotonic()))
            return
        self._part = open_part(spec.parts, spec.storage_options, f"{NODE}-", str(self._folder))
        self._files = [OutputFiles(o.folder, o.url, o.options or {}) for o in spec.files]
        brought = MiniBatchFiles(self._folder)
        memory = shared_memory("daskrun-inline")
        self._stack.callback(os.close, memory)
        inputs = decode_trusted(spec.inputs)
        self._executor = Executor(
            self._module,
            inputs,
            ResultWriter(sink, self._part, spec.any_number),
            StatusBlock(memory, create=True),
            brought.fetched,
            brought.release,
            Tables(inputs, str(self._folder / CACHE)),
        )
        seconds = time.perf_counter() - began
        self.events.put(ProcessReady(self._process(), seconds, time.monotonic()))

    def _locate(self) -> Located | None:
        """Have the side inputs here, and paths where the script is told of them."""
        described, run_id = self._spec.side_inputs, self._spec.run_id
        self._stack.callback(take_away, described, self._folder, run_id)
        try:
            bringing = Bringing(described, self._folder, run_id, self._spec.cache_limit, self._note)
            self._stack.callback(bringing.let_go)
            brought = bringing.bring(lambda _: self._check_stop())
        except _CanceledError:
            return None
        except (DaskrunError, OSError) as error:
            self._stop_run(shown_text(str(error)))
            return None
        found = located(self._spec, brought)
        for text in found.notes:
            self._note(text)
        return found

    def _check_stop(self) -> None:
        """Raise _CanceledError where the driver will be asked to stop, once it isn't held up."""
        waiting = []
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self.events.get_nowait())
        for each in waiting:  # what others put meanwhile is before them: notes, or the like
            self.events.put(each)
        if any(isinstance(each, StopAsked) for each in waiting):
            raise _CanceledError

    def _with_context(self, spec: ProcessSpec) -> ProcessSpec:
        """Return what the script is told, and make the folder of its logs."""
        logs = Path(self._spec.logs) / "user" / "entry_script_log" / NODE
        make_folder(logs)
        context = replace(
            spec.context,
            agent_name=f"{NODE}/process000",
            log_file=str(logs / "process000.log.txt"),
            log_dir=str(logs),
            working_dir=str(self._folder),
        )
        return replace(spec, context=context)

    @override
    def hand_out(self, bundles: Sequence[Packed], budget: float) -> None:
        for packed in bundles:
            number, began = packed.bundle.number, time.monotonic()
            outcomes, trouble = self._run_bundle(number, packed.payload, began + budget)
            outcomes, lost = self._with_files(outcomes)
            now = time.monotonic()
            process = self._process() if outcomes else None
            warnings = self._executor.new_warnings() if self._executor is not None else ()
            took = now - began
            back = BundleReturned(
                number, process, tuple(outcomes), took, now, tuple(warnings), lost or trouble
            )
            self.events.put(back)

    def _run_bundle(
        self, number: int, payload: bytes, deadline: float
    ) -> tuple[list[Outcome], str]:
        """Run a bundle and keep its rows; give its outcomes, and why rows can't be kept."""
        outcomes: list[Outcome] = []
        trouble = ""
        try:
            for descriptor, attempt in decode_trusted(payload):
                if self._executor is None or self._stopped:
                    break
                decoded = Descriptor.decode(descriptor)
                outcomes.append(self._executor.attempt(number, decoded, attempt))
                if time.monotonic() > deadline:
                    break
        except PartError as error:
            trouble = str(error)
        try:
            if self._part is not None:
                self._part.sync()
        except PartError as error:
            outcomes, trouble = rowless(outcomes), str(error)
        return outcomes, trouble

    def _with_files(self, outcomes: list[Outcome]) -> tuple[list[Outcome], str]:
        """Put the script's own files to the output's URL; where that fails, no success is one.

        Gives the outcomes, and why the store could not take the files.
        """
        try:
            for files in self._files:
                files.sync()
        except StorageError as error:
            return rowless(outcomes, files=True), store_remedy(error)
        except OSError as error:
            return rowless(outcomes, error_of(error, self._script), files=True), ""
        return outcomes, ""

    @override
    def stop(self, grace: float) -> None:
        self._stopped = True  # nothing runs while this is called

    @override
    def close(self) -> None:
        with self._stack:
            if self._executor is not None and self._module is not None:
                self._at_end(self._module.shutdown)
                for files in self._files:
                    self._at_end(files.sync)  # shutdown() may have written
            if self._part is not None:
                self._part.close()

    def _at_end(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (told, never fatal)
            text = error_of(error, self._script).text
            self._note(f"shutdown() failed: {text}", warns=True)

    def _process(self) -> ProcessInfo:
        part = (self._part.name, self._part.etag) if self._part is not None else ("", "")
        return ProcessInfo(NODE, "process000", os.getpid(), 0.0, *part)
