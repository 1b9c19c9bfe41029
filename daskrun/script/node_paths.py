"""What script processes are told of paths that only their node knows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daskrun.script.side_inputs.location import in_place
from daskrun.storage.folders import make_folder
from daskrun.storage.urls import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.script.node_spec import NodeSpec
    from daskrun.script.process_spec import ProcessSpec

ORIGINAL = "AZUREML_DATAREFERENCE_"
"""Before an input's name, the variable by which the original tells its path."""


class Located(NamedTuple):
    """A node's script processes, told of the paths there."""

    process: ProcessSpec
    variables: dict[str, str]
    """Environment variables that tell paths."""
    notes: list[str]
    """What there is to say of that."""


def located(spec: NodeSpec, brought: Mapping[str, str]) -> Located:
    """Return what script processes are told, with the node's paths put in.

    They go where arguments have places for them, to ``input_datasets``, to variables, and those of
    outputs to a script that is run as a whole. An output that is a URL is a folder of the node.

    Parameters
    ----------
    spec
        With the node's ``folder``.
    brought
        Paths of the side inputs that were brought, by name.
    """
    process = spec.process
    output_dir = process.context.output_dir
    files = tuple(
        replace(each, folder=f"{spec.folder}/output/{number}")
        for number, each in enumerate(process.files)
    )
    here = {each.url: each.folder for each in files}
    if files and is_url(output_dir):
        output_dir = files[0].folder
    local = [each for each in spec.inputs if not each.remote]
    side_inputs = {**in_place(spec.side_inputs), **brought}
    whole = process.script.whole
    outputs = {
        name: where.folder or here.get(where.url) or f"{spec.folder}/outputs/{name}"
        for name, where in spec.outputs.items()
    }
    for folder in (*outputs.values(), *here.values()):
        make_folder(Path(folder))
    paths = {
        "input": {**{each.name: each.root for each in local}, **side_inputs},
        "output": outputs,
    }
    told = {each.name: each.root for each in local if each.kind == "files"} | side_inputs
    script = process.script
    if whole:
        told |= outputs
        places = (replace(spec.outputs[name], folder=path) for name, path in outputs.items())
        script = replace(script, outputs=tuple(places))
    variables, notes = _variables(told, {**os.environ, **spec.environment})
    argv = [
        each if isinstance(each, str) else f"{each.before}{paths[each.kind][each.name]}{each.after}"
        for each in spec.arguments
    ]
    if argv[-2:] == ["--output", process.context.output_dir]:  # argv_compat
        argv[-1] = output_dir
    datasets = {**process.context.input_datasets, **side_inputs}
    context = replace(process.context, input_datasets=datasets, output_dir=output_dir)
    process = replace(
        process,
        script=script,
        argv=tuple(argv),
        context=context,
        files=files,
        node_folder=spec.folder,
    )
    return Located(process, variables, notes)


def _variables(
    files: Mapping[str, str], taken: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return a variable, and the original's, for each input; those that are set are left alone."""
    found, notes = {}, []
    for name, path in files.items():
        for variable in (name, f"{ORIGINAL}{name}"):
            if variable in taken:
                text = f"the variable {variable} is set already, and isn't the path of that input"
                notes.append(text)
            else:
                found[variable] = path
    return found, notes
