"""What script processes are told of paths that only their node knows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from daskrun.script.side_inputs.location import in_place

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGINAL = "AZUREML_DATAREFERENCE_"
"""Before an input's name, the variable by which the original tells its path."""


def with_paths(
    config: dict[str, Any], side_inputs: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return a node's configuration with paths put in, and what there is to say of that.

    They go where arguments have places for them, to ``input_datasets``, to ``path_variables``, and
    those of outputs to a script that is run as a whole.

    Parameters
    ----------
    config
        See :func:`daskrun.engine.nodes.node_config`, with the node's ``folder``; where the output
        is a URL, already with the folder that stands for it.
    side_inputs
        Paths of those that were brought, by name.
    """
    told = config["context"]
    sources = [each for each in config["inputs"] if not each["remote"]]
    inputs = {each["name"]: each["root"] for each in sources}
    side_inputs = {**in_place(config["side_inputs"]), **side_inputs}
    outputs = {
        name: where.get("folder") or _instead(config, name)
        for name, where in config["outputs"].items()
    }
    paths = {"input": {**inputs, **side_inputs}, "output": outputs}
    files = {each["name"]: each["root"] for each in sources if each["kind"] == "files"}
    files |= side_inputs
    script = config["script"]
    if script["whole"]:
        files |= outputs
        script = {**script, "outputs": [_written(config, *each) for each in outputs.items()]}
    variables, notes = _variables(files, {**os.environ, **config["environment"]})
    datasets = {**told.get("input_datasets", {}), **side_inputs}
    argv = [paths[each[0]][each[1]] if isinstance(each, tuple) else each for each in config["argv"]]
    context = {**told, "input_datasets": datasets}
    added = {"argv": argv, "context": context, "path_variables": variables, "script": script}
    return {**config, **added}, notes


def _instead(config: dict[str, Any], name: str) -> str:
    """Return the folder of the node that stands for an output's URL."""
    if config["script"]["whole"]:
        return os.path.join(config["folder"], "outputs", name)  # noqa: PTH118 - a text, as the others
    return str(config["context"]["output_dir"])


def _written(config: dict[str, Any], name: str, folder: str) -> dict[str, Any]:
    """Return the fields of a ``ScriptOutput``."""
    where = config["outputs"][name]
    return {"folder": folder, "url": where.get("url", ""), "options": where.get("options")}


def _variables(
    files: Mapping[str, str], taken: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return a variable, and original's, for each input; those that are set stay as they are."""
    found, notes = {}, []
    for name, path in files.items():
        for variable in (name, f"{ORIGINAL}{name}"):
            if variable in taken:
                text = f"the variable {variable} is set already, and isn't the path of that input"
                notes.append(text)
            else:
                found[variable] = path
    return found, notes
