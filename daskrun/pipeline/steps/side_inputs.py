"""Side inputs: reference data that is whole on every node of a step."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from daskrun.core.codec import record
from daskrun.core.minibatch import NodePath
from daskrun.core.settings import same_name_problems
from daskrun.data.file_dataset import FileDataset
from daskrun.data.listing import location
from daskrun.data.local_files import local_path
from daskrun.data.remote_files import join_url
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import DatasetError
from daskrun.pipeline.steps.base import USABLE, dataset_of, places_used
from daskrun.pipeline.steps.inputs import Input, stored
from daskrun.script.environments.packages import FOR_TABLES, needs
from daskrun.script.node_spec import SideInputSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from daskrun.core.minibatch import PlanInput
    from daskrun.core.settings import RunSettings
    from daskrun.data.items import DatasetConsumptionConfig, Items
    from daskrun.data.listing import Listing
    from daskrun.data.protocols import PathElement
    from daskrun.pipeline.steps.parameter import ParameterValues

LEVEL = 1
"""Of compression of names, sizes and times, which travel to each node."""


@record
@dataclass(frozen=True)
class SideInput(Input):
    """A dataset that the script finds whole on its node."""

    mode: str = "mount"
    """As ``DatasetConsumptionConfig.mode``."""
    path_on_compute: str | None = None
    """Where it shall be found on the node; None: anywhere."""


def list_problems(argument: str, given: object) -> list[str]:
    """Return what is no input in an argument that may be None or a list of them."""
    example = f"Write {argument}=[Dataset.File.from_files('lookup').as_named_input('lookup')]."
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        return [f"{argument}={given!r} is not a list. {example}"]
    return [
        f"{argument}[{number}]={each!r} is not a dataset. {example}"
        for number, each in enumerate(given)
        if not isinstance(each, USABLE)
    ]


def side_problems(
    sides: Sequence[tuple[str, DatasetConsumptionConfig]],
    taken: Collection[str],
    given: ParameterValues | None,
) -> list[str]:
    """Return what is wrong with named side inputs; ``taken`` are names that inputs have."""
    found = same_name_problems("side_inputs", [name for name, _ in sides])
    for name, use in sides:
        if name in taken:
            found.append(
                f"side_inputs has the name {name!r}, and so has inputs. Give it another: "
                f"dataset.as_named_input({f'{name}_whole'!r})."
            )
        path = use.path_on_compute
        if path is not None and isinstance(dataset_of(use, given or {}), TabularDataset):
            found.append(
                f"side input {name!r} is a table, and has path={path!r}: only files have a path "
                "on the node. Write dataset.as_named_input(name)."
            )
        elif path is not None and not (isinstance(path, str) and _is_path(path)):
            found.append(
                f"side input {name!r} has path={path!r}, which is no folder of its own. Write an "
                "absolute path, such as as_mount('/data/lookup'), or a relative one without '..'."
            )
    return found


def _is_path(path: str) -> bool:
    return bool(path.strip(" /.")) and "\0" not in path and ".." not in path.split("/")


def look_at_sides(
    sides: Iterable[tuple[str, DatasetConsumptionConfig]],
    given: ParameterValues,
    settings: RunSettings,
    planned: Iterable[PlanInput],
) -> tuple[SideInput, ...]:
    """Return the side inputs of a step, and check that those that are there can be used.

    ``planned`` is what its mini-batches are cut from, as far as that is known.
    """
    made = tuple(
        SideInput(name, use.resolve(given), use.mode, use.path_on_compute) for name, use in sides
    )
    asked = paths_asked(settings)
    described((each for each in made if not places_used([each.dataset], {})), asked)
    check_whole(asked, planned)
    return made


def paths_asked(settings: RunSettings) -> list[str]:
    """Name the inputs whose paths are among the script's arguments."""
    given = settings.arguments
    return [each.name for each in given if isinstance(each, NodePath) and each.kind == "input"]


def described(sides: Iterable[SideInput], asked: Iterable[str]) -> dict[str, SideInputSpec]:
    """Return, for each side input that is files for the script, what nodes must know, by name.

    A table is files only where its path is among the script's arguments (``asked``); else it is
    read as rows.
    """
    names = set(asked)
    found = {}
    for each in sides:
        if isinstance(each.dataset, FileDataset) or each.name in names:
            try:
                found[each.name] = _description(each)
            except DatasetError as error:
                raise DatasetError(f"side input {each.name!r}: {error}") from error
    return found


def _description(side: SideInput) -> SideInputSpec:
    elements, folder, narrowed = _elements(side.dataset)
    listing = side.dataset.listing() if isinstance(side.dataset, FileDataset) else _of_table(side)
    if not len(listing.table):
        raise DatasetError(f"no file is left of {side.dataset!r}.")
    whole = None if narrowed or len(elements) > 1 else _path_of(elements[0], folder, listing)
    one = listing.table[0] if len(listing.table) == 1 else None
    file = one if one is not None and whole == _joined(listing, one) else ""
    exact = bool(file) or whole == listing.root.rstrip("/")
    in_place = side.mode == "mount" and side.path_on_compute is None and not listing.remote
    return SideInputSpec(
        root=listing.root,
        remote=listing.remote,
        options=dict(listing.storage_options),
        table=zlib.compress(listing.table.to_bytes(), LEVEL),
        file=file,
        there=exact and in_place,
        copy=side.mode == "download",
        path=side.path_on_compute,
    )


def _of_table(side: SideInput) -> Listing:
    """List the files that a table is; one whose rows are chosen or made is none."""
    table: Any = side.dataset
    if not hasattr(table.source, "elements"):
        what = "its rows are in no files of the user's"
    elif table.steps:
        what = "its rows are chosen, so its files are something else"
    else:
        listing: Listing = table.source.listing()
        return listing
    raise DatasetError(
        f"{side.dataset!r} has no path for arguments=[...]: {what}. Leave it out of the arguments, "
        f"and write Run.get_context().input_datasets[{side.name!r}].to_pandas_dataframe() in the "
        "script."
    )


def _elements(dataset: Any) -> tuple[tuple[PathElement, ...], str, bool]:
    """Return what ``path`` listed, what that is relative to, and whether only some is taken."""
    if isinstance(dataset, FileDataset):
        return dataset.elements, dataset.folder, bool(dataset.selections)
    source = dataset.source
    return getattr(source, "elements", ()), getattr(source, "folder", ""), False


def _path_of(element: PathElement, folder: str, listing: Listing) -> str:
    text = location(element)
    return (text if listing.remote else local_path(text, folder)).rstrip("/")


def _joined(listing: Listing, name: str) -> str:
    return join_url(listing.root, name) if listing.remote else next(iter(listing.paths([name])))


def packages(sides: Iterable[SideInput]) -> list[str]:
    """Return what the script's Python needs to read side inputs as rows, as lines for pip."""
    found: list[str] = []
    for each in sides:
        if isinstance(each.dataset, TabularDataset):
            source: Any = each.dataset.source
            places = [location(element) for element in getattr(source, "elements", ())]
            found += (*FOR_TABLES, *getattr(source, "packages", ()))
            found += needs([], places)
    return list(dict.fromkeys(found))


def check_files(inputs: Iterable[tuple[str, Items]], asked: Iterable[str]) -> None:
    """Raise DatasetError where an input whose path is asked for is a query or a dataframe."""
    names = set(asked)
    for name, each in inputs:
        rows = isinstance(each, TabularDataset) and not hasattr(each.source, "elements")
        if rows and name in names:
            raise DatasetError(
                f"arguments has input {name!r}, whose rows are in no files of yours, so it has "
                "no path. Leave it out of the arguments: run() gets its rows."
            )


def check_whole(asked: Iterable[str], inputs: Iterable[PlanInput]) -> None:
    """Raise DatasetError where an input whose path is asked for is remote: it has none on nodes."""
    names = set(asked)
    for each in inputs:
        if each.name in names and each.remote:
            raise DatasetError(
                f"arguments has input {each.name!r}, which is brought to the nodes in mini-batches "
                "and has no path there. Give it in side_inputs=[...] too, under another name, to "
                "have it whole on each node, and write that one in arguments."
            )


def stored_sides(
    sides: Sequence[SideInput],
    folder: str,
    settings: RunSettings,
    target: object,
    options: Mapping[str, object],
) -> tuple[SideInput, ...]:
    """Write dataframes among side inputs to files; see :func:`.inputs.stored`."""
    given: list[tuple[str, Items]] = list(by_name(sides).items())
    written = stored(given, folder, settings, target, options)
    if written is None:
        return tuple(sides)
    pairs = zip(sides, written, strict=True)
    return tuple(replace(each, dataset=dataset) for each, (_, dataset) in pairs)


def by_name(sides: Iterable[SideInput]) -> Mapping[str, Items]:
    """Return the datasets of side inputs by name."""
    return {each.name: each.dataset for each in sides}
