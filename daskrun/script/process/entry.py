"""The user's module: loading it, calling it, and turning its exceptions into plain values, once."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import linecache
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.outcome import Failure
from daskrun.errors import EntryScriptError, TableError
from daskrun.script.process.fork_guard import OnlyHere
from daskrun.script.process.hints import hints_of
from daskrun.script.process.module_name import module_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, ModuleType

    from daskrun.script.process_spec import ScriptFile

TEXT_CAP = 64 * 1024
"""Characters of an error's text that travel."""
OWN_FOLDER = str(Path(__file__).resolve().parents[2])
_LINKED_FOLDER = str(Path(__file__).parents[2])
"""The same, as another Python than the node's own has imported it."""


class EntryModule:
    """A loaded entry script.

    ``modules`` is a folder of this node for modules that other processes find it by. Raises
    whatever its import raises; AttributeError when it has no ``run``, TypeError when that takes
    neither a mini-batch nor a mini-batch and its context.
    """

    def __init__(self, script: ScriptFile, modules: Path | None = None) -> None:
        self.script = script
        self.here = OnlyHere()
        """What every call of user code is enclosed in."""
        self.module: ModuleType | None = None
        self.wants_context = False
        if script.whole:
            self.run: Callable[..., Any] = _whole(script)
            return
        with self.here:
            self.module = _load(script, modules)
        run = getattr(self.module, "run", None)
        if not callable(run):
            raise AttributeError(  # noqa: TRY004  (most often there is none at all)
                f"{Path(script.shown_as).name} has no function run(mini_batch). "
                "Define `def run(mini_batch): ...` that returns one result per item."
            )
        self.run = run
        self.wants_context = _takes_context(run, Path(script.shown_as).name)

    @property
    def repeatable(self) -> bool:
        """Whether the script says that ``run()`` may have a mini-batch twice at once."""
        return getattr(self.module, "REPEATABLE", False) is True

    def init(self) -> None:
        """Call the script's ``init()``, if it has one."""
        self._call("init")

    def process(self, mini_batch: Any, context: Callable[[], object]) -> Any:
        """Return what the script's ``run()`` returns.

        ``context`` makes the ``mini_batch_context``, for a script that takes one.
        """
        with self.here:
            if self.wants_context:
                return self.run(mini_batch, context())
            return self.run(mini_batch)

    def shutdown(self) -> None:
        """Call the script's ``shutdown()``, if it has one."""
        self._call("shutdown")

    def _call(self, name: str) -> None:
        function = getattr(self.module, name, None)
        if callable(function):
            with self.here:
                function()


class _FromSnapshot:
    """A loader that names a module's file without reading it again."""

    def __init__(self, code: CodeType) -> None:
        self._code = code

    def create_module(self, spec: object) -> None:
        """Take the default module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        exec(self._code, module.__dict__)


def _compiled(script: ScriptFile, source: bytes) -> CodeType:
    """Compile what is in the snapshot as the file the user knows."""
    _remember(source, script.shown_as)
    return compile(source, script.shown_as, "exec", dont_inherit=True)


def _whole(script: ScriptFile) -> Callable[[Any], list[str]]:
    """Return a ``run()`` that runs the script as the program it is."""
    from daskrun.script.process.run_program import run_whole

    # Compiled when it is run: an error in it is an error of the step, not of its processes.
    def run(_: Any) -> list[str]:
        code = _compiled(script, Path(script.path).read_bytes())
        return run_whole(code, script.shown_as, script.source, script.outputs)

    return run


def _load(script: ScriptFile, modules: Path | None) -> ModuleType:
    """Import the script under its own name, if it can have that."""
    source = Path(script.path).read_bytes()
    code = _compiled(script, source)
    name = module_name(script, source, modules)
    spec = importlib.util.spec_from_loader(name, _FromSnapshot(code), origin=script.shown_as)  # type: ignore[arg-type]
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = script.shown_as
    sys.modules[name] = module
    try:
        _FromSnapshot(code).exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _remember(source: bytes, shown_as: str) -> None:
    """Make tracebacks quote the snapshot: the user's file may be edited, or not on this node."""
    with contextlib.suppress(SyntaxError, UnicodeDecodeError):  # compile() says it better
        lines = importlib.util.decode_source(source).splitlines(keepends=True)
        linecache.cache[shown_as] = (len(source), None, lines, shown_as)


def _takes_context(run: Callable[..., Any], file: str) -> bool:
    """Return whether ``run`` has a second parameter for ``mini_batch_context``.

    One whose default is something is the script's own, as in ``def run(mini_batch, limit=3)``.
    Raises TypeError where it can be called neither with one argument nor with two.
    """
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # something compiled, which doesn't say
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [each for each in signature.parameters.values() if each.kind in kinds]
    second = places[1].default if len(places) > 1 else 0
    wanted = second is None or second is inspect.Parameter.empty
    try:
        signature.bind(*["mini-batch", "context"][: 1 + wanted])
    except TypeError as error:
        raise TypeError(
            f"run{signature} of {file} can't be called with a mini-batch: {error}. Write "
            "def run(mini_batch): or def run(mini_batch, mini_batch_context):"
        ) from None
    return wanted


HIDDEN = "what it says is not told, as data_in_errors=False asks"


def error_of(error: BaseException, script: ScriptFile) -> Failure:
    """Return an exception as a plain value.

    Frames of daskrun itself are left out, so that the traceback is the user's own.
    """
    kind = type(error).__qualname__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _own(f.filename)]
    shown = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    if isinstance(error, TableError) and not frames:
        # It says itself what is wrong with the data; what the reader below raised adds nothing.
        shown.__cause__ = shown.__context__ = None
    for part in _chain(shown):
        kept = [f for f in part.stack if not _own(f.filename)]
        part.stack = traceback.StackSummary.from_list(kept)
    try:
        text = "".join(shown.format())
        message = f"{kind}: {error}" if str(error) else kind
        more, behind = hints_of(error, script)
        message, text = message + more, text + behind
    except BaseException as broken:  # noqa: BLE001  (an exception whose __str__ raises)
        text = message = f"{kind} (its text can't be shown: {type(broken).__name__})"
    where = _where(frames, error, script)
    if not script.data_in_errors:
        message = f"{kind}: {HIDDEN}"
        text = "".join(traceback.format_list(frames)) + message
        return Failure(message, kind, where, _cap(text, TEXT_CAP))
    return Failure(
        message=_cap(message.strip(), 4096),
        kind=kind if where else message,  # one group for each line that raises, or each text
        where=where,
        text=_cap(text, TEXT_CAP),
        ended=_cap(error.ended, 4096) if isinstance(error, EntryScriptError) else "",
    )


def _own(filename: str) -> bool:
    return filename.startswith((OWN_FOLDER, _LINKED_FOLDER, "<frozen importlib"))


def _chain(
    shown: traceback.TracebackException | None, seen: int = 0
) -> Iterator[traceback.TracebackException]:
    """Walk an exception and those it came from."""
    if shown is not None and seen < 20:
        yield shown
        yield from _chain(shown.__cause__, seen + 1)
        yield from _chain(shown.__context__, seen + 1)


def _where(frames: list[traceback.FrameSummary], error: BaseException, script: ScriptFile) -> str:
    """Name file and line of the innermost frame in the user's own code."""
    if isinstance(error, SyntaxError) and error.filename and not frames:
        return f"{_relative(error.filename, script)}:{error.lineno}"
    if not frames:
        return ""
    folders = (script.root, str(Path(script.shown_as).parent))
    mine = [frame for frame in frames if frame.filename.startswith(folders)]
    frame = (mine or frames)[-1]
    return f"{_relative(frame.filename, script)}:{frame.lineno}"


def _relative(filename: str, script: ScriptFile) -> str:
    with contextlib.suppress(ValueError):
        return Path(filename).relative_to(script.root).as_posix()
    return Path(filename).name


def _cap(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2 - 50  # for what is said in between: with it the text is not cut again
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"
