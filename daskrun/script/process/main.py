"""The script process: imports the entry script, calls ``init()`` once, then runs bundles.

Started by the keeper with five inherited descriptors: the inbox's pipe and memory, messages out,
the status blocks, and the *outcome log*, an anonymous file that every outcome is appended to the
moment it exists. The keeper reads that when the bundle is done or the process dead, so that nothing
finished is lost with the process and no mini-batch costs a round trip.

The script may do what it likes to its process: close descriptors, put its own in place of the
standard library's functions. What is needed to tell what became of its mini-batch lies out of its
way, or else the process ends with that mini-batch in hand, which is charged.
"""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.minibatch import Descriptor
from daskrun.core.plugins import linked
from daskrun.errors import PartError, StorageError
from daskrun.output.parts.part import Part, ResultWriter, UnusableProcessError, open_part
from daskrun.output.parts.uploads import OutputFiles
from daskrun.output.sinks.registry import open_sink
from daskrun.script import context, messages
from daskrun.script.fetching.waiting import RemoteFiles, labels
from daskrun.script.outcome_log import OutcomeLog, read_outcome_log, rowless
from daskrun.script.process.entry import EntryModule, error_of
from daskrun.script.process.execute import Executor, Fetched
from daskrun.script.process.module_name import MODULES
from daskrun.script.process.own_modules import keep_own
from daskrun.script.process.tables import Tables
from daskrun.script.process_spec import CACHE, FETCH, ProcessSpec, ScriptFile
from daskrun.script.signals import outlive_them
from daskrun.script.status_block import Phase, StatusBlock
from daskrun.script.wire import DUMP_SIGNAL, Inbox, decode_trusted, pack, write_all
from daskrun.storage.descriptors import out_of_reach, spoilt
from daskrun.storage.error_hints import store_remedy
from daskrun.storage.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from daskrun.core.minibatch import PlanInput


def main() -> None:
    """Serve until the keeper says stop or goes away."""
    outlive_them()
    # what user code starts must not hold them open, either
    memory, board, log = (out_of_reach(int(text), file=True) for text in sys.argv[-5:-2])
    bell, out = (out_of_reach(int(text), file=False) for text in sys.argv[-2:])
    try:
        ScriptLoop(Inbox(memory, bell), out, board, log).serve()
    except UnusableProcessError as error:
        sys.exit(str(error))
    except OSError as error:
        if not spoilt(error):
            raise
        sys.exit(f"the entry script has spoilt descriptors of daskrun's own: {error.strerror}")


class ScriptLoop:
    """The loop of one script process."""

    def __init__(self, inbox: Inbox, out: int, board: int, log: int) -> None:
        self._inbox = inbox
        self._out = out
        self._board = board
        self._log = log
        self._part_told = ""
        self._files: list[OutputFiles] = []

    def serve(self) -> None:
        """Read the configuration, start the script, run bundles."""
        spec: ProcessSpec | None = self._inbox.get()
        if spec is None:
            return
        script = spec.script
        self._status = StatusBlock(self._board, spec.slot, create=False)
        self._outcomes = OutcomeLog(self._log, self._status)
        self._status.enter(Phase.INIT, time.monotonic())
        began = time.perf_counter()
        try:
            self._prepare(spec)
            tables = Tables(decode_trusted(spec.inputs), str(Path(spec.node_folder, CACHE)))
            tables.prepare()
            keep_own()
            module = EntryModule(script, Path(spec.node_folder, MODULES))
            sink = open_sink(spec.sink, spec.sink_settings)
            module.init()
        except BaseException as error:  # noqa: BLE001  (also SystemExit: the keeper must learn of it)
            self._send(messages.ScriptInitFailed(error_of(error, script)))
            self._leave()
            return
        seconds = time.perf_counter() - began
        part = open_part(spec.parts, spec.storage_options, spec.part_prefix, spec.node_folder)
        self._files = [OutputFiles(o.folder, o.url, o.options or {}) for o in spec.files]
        writer = ResultWriter(sink, part, spec.any_number)
        executor = self._executor(spec, module, writer, tables)
        self._status.enter(Phase.IDLE, time.monotonic())
        # last: the keeper looks when it hears this whether a bundle can be given, and may not look
        # again for a second
        self._send(messages.ScriptReady(seconds, module.repeatable))
        with self._telling(spec):
            while (bundle := self._inbox.get()) is not None:
                if not self._run_bundle(executor, part, bundle):
                    break
            self._shut_down(module, script)

    def _telling(self, spec: ProcessSpec) -> AbstractContextManager[None]:
        """Have the run told what its store is asked again for, where it has one."""
        if not (spec.files or is_url(spec.parts)):
            return contextlib.nullcontext()
        from daskrun.storage.retry import heard  # few need it

        return heard(lambda text: self._send(messages.Notice(text)))

    def _prepare(self, spec: ProcessSpec) -> None:
        """Make the process what user code expects: path, argv, names, context, line-wise output."""
        faulthandler.enable(file=2)
        faulthandler.register(DUMP_SIGNAL, file=2, all_threads=True)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
        sys.path[:] = [*spec.sys_path, *(p for p in sys.path if p)]
        sys.argv[:] = spec.argv
        ints, at, attempt = self._status.ints, StatusBlock.IN_HAND, StatusBlock.ATTEMPT
        context.enter(spec.context, lambda: (ints[at], ints[attempt]))
        linked("script_names")()

    def _executor(
        self, spec: ProcessSpec, module: EntryModule, writer: ResultWriter, tables: Tables
    ) -> Executor:
        fetched: Fetched | None = None
        release: Callable[[int, int], None] | None = None
        if spec.fetched:
            files = RemoteFiles(Path(spec.node_folder, FETCH))
            release = files.release

            def fetched(bundle: int, index: int, _: PlanInput, load: tuple[Any, ...]) -> list[str]:
                return files.wait(bundle, index, labels(load))

        inputs = decode_trusted(spec.inputs)
        return Executor(module, inputs, writer, self._status, fetched, release, tables)

    def _run_bundle(
        self, executor: Executor, part: Part | None, bundle: messages.RunBundle
    ) -> bool:
        """Run a bundle on the emptied outcome log; False: this process must end."""
        status, number = self._status, bundle.number
        entries = decode_trusted(bundle.payload)
        began = time.monotonic()
        status.enter(Phase.WORKING, began)
        deadline, trouble = began + bundle.budget, ""
        for descriptor, attempt in entries:
            try:
                outcome = executor.attempt(number, Descriptor.decode(descriptor), attempt)
            except UnusableProcessError:
                raise
            except PartError as error:
                trouble = str(error)
                break
            if part is not None and part.name != self._part_told:
                self._part_told = part.name  # before an outcome on the outcome log speaks of it
                self._send(messages.PartNamed(part.name))
            self._outcomes.add(outcome)
            executor.let_go()  # only now: until then it pays for the process's end
            if status.ints[StatusBlock.RECALL] or time.monotonic() > deadline:
                break
        for text in executor.new_warnings():
            self._send(messages.ScriptWarning(text))
        trouble = self._sync(part, executor.script) or trouble
        if part is not None and part.etag:
            self._send(messages.PartNamed(part.name, part.etag))
        status.enter(Phase.SHUTDOWN if trouble else Phase.IDLE, time.monotonic())
        self._send(messages.BundleDone(number, time.monotonic() - began, trouble))
        return not trouble

    def _sync(self, part: Part | None, script: ScriptFile) -> str:
        """Keep what the bundle wrote for good; where that fails, its successes are none.

        Returns why not where no mini-batch is at fault: then this process must end.
        """
        if part is None and not self._files:
            return ""
        self._status.enter(Phase.SYNCING, time.monotonic())
        try:
            if part is not None:
                part.sync()
            for files in self._files:
                files.sync(self._show_progress)
        except UnusableProcessError:
            raise
        except OSError as error:
            outcomes, wrote = read_outcome_log(self._outcomes.read()), bool(self._files)
            if isinstance(error, StorageError):
                self._outcomes.replace(rowless(outcomes, files=wrote))
                return str(error) if isinstance(error, PartError) else store_remedy(error)
            self._outcomes.replace(rowless(outcomes, error_of(error, script), files=wrote))
        return ""

    def _show_progress(self) -> None:
        """Move what ``progress_update_timeout`` is counted from; no mini-batch is in hand."""
        self._status.times[StatusBlock.RUNNING_SINCE] = time.monotonic()

    def _shut_down(self, module: EntryModule, script: ScriptFile) -> None:
        self._status.enter(Phase.SHUTDOWN, time.monotonic())
        try:
            module.shutdown()
        except BaseException as error:  # noqa: BLE001  (told, never fatal: the results are safe)
            self._send(messages.ShutdownFailed(error_of(error, script).text))
        for files in self._files:
            try:
                files.sync()  # shutdown() may have written
            except OSError as error:
                self._send(messages.ShutdownFailed(error_of(error, script).text))
        self._leave()

    def _leave(self) -> None:
        """Say that nothing of daskrun is left to do, and which threads hold up the end."""
        here = threading.current_thread()
        others = (t.name for t in threading.enumerate() if t is not here and not t.daemon)
        self._send(messages.Leaving(tuple(others)))

    def _send(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # the keeper is gone, and this process with it
            write_all(self._out, pack(message))
