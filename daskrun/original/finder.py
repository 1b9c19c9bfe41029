"""Python's ``import`` finds the original's modules: made when asked for, filled when used."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from daskrun.core.plugins import load
from daskrun.errors import OriginalImportError, OriginalNameError
from daskrun.original.names import NAMES, OTHERS, ROOTS, SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CORE = "azureml.core"
"""Where this is installed, the original is."""
V2 = (
    "of the SDK v2 daskrun has what builds and submits jobs: pipelines, parallel and command jobs, "
    "components, and batch deployments as files. Leave it out, or have a job file run: "
    "daskrun run job.yml."
)
"""Of each other name: an import that nothing uses costs nothing."""
SPAWNED = f"{__file__.rpartition('/')[0]}/spawned"
"""By which processes that this one starts anew find the names: they have its ``sys.path``."""


class StandIn(ModuleType):
    """A module of the original: each of its names is daskrun's, loaded when it is first used."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"daskrun's stand-in for {name} of the Azure ML SDK.")
        self.__all__ = sorted(NAMES.get(name, ()))

    def __getattr__(self, name: str) -> object:
        """Load a name, or what says of one that daskrun lacks what there is instead.

        Raises OriginalNameError where the original has none of that name either.
        """
        module = self.__name__
        if name.startswith("__"):  # Python asks for some that are not set yet
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        full, known = f"{module}.{name}", NAMES.get(module, {})
        value: object
        if name in known:
            value = load(known[name])
        elif full in NAMES or (name.islower() and _is_entry(full)):
            load(f"{full}:__name__")  # a module, of which only what is used is said to lack
            value = sys.modules[full]
        elif (message := _instead_of(full)) is not None:
            from daskrun.original.absent import absent

            value = absent(full, message)
        else:
            raise OriginalNameError(_why_not(module, name))
        setattr(self, name, value)  # the next use finds it without coming here
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})


class OriginalFinder:
    """Finds the stand-ins, and loads them."""

    def __init__(self, *, over_real: bool) -> None:
        self.over_real = over_real
        """Whether they are found also where the original is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the original, None for any other.

        OriginalImportError is raised where the original has none of that name.
        """
        del target
        if fullname.partition(".")[0] not in ROOTS or not self._stands_for(fullname):
            return None
        if fullname in NAMES and fullname not in SHARED:
            return self._spec(fullname)
        parent = fullname.rpartition(".")[0]
        if parent and parent not in SHARED and not isinstance(sys.modules.get(parent), StandIn):
            return None  # within a package that is installed
        # What others have put into the same package stays importable.
        if (installed := _find_installed(fullname, path)) is not None:
            return installed
        if fullname in NAMES or _instead_of(fullname) is not None:
            return self._spec(fullname)
        if fullname.startswith(f"{OTHERS}.") and not parent.startswith(f"{OTHERS}.ai.ml"):
            return None
        raise OriginalImportError(_why_not(parent, fullname.rpartition(".")[2]))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: names are loaded one by one."""

    def _spec(self, fullname: str) -> ModuleSpec:
        # A package even where the original's is none: so `from module import name` comes here for
        # what the module doesn't have, and can be told why.
        return ModuleSpec(fullname, self, origin="daskrun", is_package=True)  # type: ignore[arg-type]

    def _stands_for(self, fullname: str) -> bool:
        return self.over_real or fullname.startswith("azureml_user") or not _real_core()


def put_first() -> None:
    """Make the original's names daskrun's in this process, also where the original is installed.

    Raises OriginalImportError where the original has been imported already.
    """
    real = sys.modules.get(CORE)
    if real is not None and not isinstance(real, StandIn):
        where = getattr(real, "__file__", None) or "a namespace package"
        raise OriginalImportError(
            f"{CORE} has been imported already, from {where}. Write `import daskrun.azureml` "
            "before anything of azureml is imported."
        )
    for finder in _finders():
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, OriginalFinder(over_real=True))
    _have_spawned()


def offer() -> Callable[[], None]:
    """Add the original's names to what can be imported here, after all that is installed.

    What is returned takes them out again if they were not there before: what a script that runs in
    this process imports must not be found by what runs after it.
    """
    if _finders():
        return lambda: None
    sys.meta_path.append(OriginalFinder(over_real=False))
    _have_spawned()

    def take_back() -> None:
        if not any(finder.over_real for finder in _finders()):  # else put first meanwhile
            take_out()

    return take_back


def take_out() -> None:
    """Stop finding the original's names here; what was imported of them stays usable."""
    for finder in _finders():
        sys.meta_path.remove(finder)
    sys.path[:] = [each for each in sys.path if each != SPAWNED]
    for name, module in list(sys.modules.items()):
        if isinstance(module, StandIn):
            _forget(name)


def stand_in(name: str) -> StandIn:
    """Return the stand-in of a topmost module, beside what others have put into it."""
    from importlib.util import module_from_spec
    from pkgutil import extend_path

    spec = ModuleSpec(name, OriginalFinder(over_real=False), origin="daskrun", is_package=True)  # type: ignore[arg-type]
    spec.submodule_search_locations = extend_path([], name)
    made = module_from_spec(spec)
    assert isinstance(made, StandIn)
    return made


def _have_spawned() -> None:
    if SPAWNED not in sys.path:
        sys.path.append(SPAWNED)


def _finders() -> list[OriginalFinder]:
    return [finder for finder in sys.meta_path if isinstance(finder, OriginalFinder)]


def _forget(name: str) -> None:
    """Remove a stand-in from this process, also as an attribute of an installed package."""
    module = sys.modules.pop(name)
    package, _, last = name.rpartition(".")
    if vars(sys.modules.get(package, module)).get(last) is module:
        delattr(sys.modules[package], last)


def _real_core() -> bool:
    """Return whether the original is installed, or imported."""
    if CORE in sys.modules:
        return not isinstance(sys.modules[CORE], StandIn)
    package = _find_installed("azureml", None)
    if package is None or package.submodule_search_locations is None:
        return False
    return _find_installed(CORE, list(package.submodule_search_locations)) is not None


def _find_installed(fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Return what another finder of this process finds of a module."""
    others = [each for each in sys.meta_path if not isinstance(each, OriginalFinder)]
    specs = (each.find_spec(fullname, path) for each in others if hasattr(each, "find_spec"))
    return next((spec for spec in specs if spec is not None), None)


def _instead_of(full_name: str) -> str | None:
    """Return what there is instead of what the original alone has; None where it has no such."""
    from daskrun.original.catalogue import import_  # only where something is missing

    return V2 if full_name.startswith("azure.ai.ml.") else import_(full_name)


def _is_entry(full_name: str) -> bool:
    from daskrun.original.catalogue import catalogue  # only where something is missing

    return full_name in catalogue().imports


def _why_not(module: str, name: str) -> str:
    """Return why there is no such name in a module of the original, and which there are."""
    if module in SHARED or module not in NAMES:
        known = ", ".join(each for each in NAMES if each not in SHARED)
        full = f"{module}.{name}" if module else name
        return f"daskrun stands for azureml here and has no module {full}. It has {known}."
    names = sorted({*NAMES[module], *(m[len(module) + 1 :] for m in _below(module))})
    there = f"It has {', '.join(names)}." if names else "It has no names."
    return f"daskrun stands for {module} here and has no {name!r} in it. {there}"


def _below(module: str) -> list[str]:
    return [each for each in NAMES if each.rpartition(".")[0] == module]
