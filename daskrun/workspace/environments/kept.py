"""What is kept of an environment: as a record, the values of its variables aside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from daskrun.workspace.layout import ENVIRONMENTS

if TYPE_CHECKING:
    from daskrun.core.codec import JsonObject
    from daskrun.workspace.home import Home

VARIABLES = "environment_variables"


def keep(workspace: Home, name: str, value: JsonObject) -> int:
    """Keep what an environment says as the next version; the values of variables go aside."""
    files = workspace.private
    # Often they are no secrets, and a workspace behind a URL has no better place.
    variables = value.get(VARIABLES, {}) if files.keeps else {}
    record: JsonObject = {
        "environment": {n: each for n, each in value.items() if n != VARIABLES or not variables},
        "created": time.time(),
    }
    if variables:
        workspace.sweep_private()
        record["private"] = files.keep(variables)
    try:
        return workspace.records.create(ENVIRONMENTS, name, record)
    except BaseException:
        files.remove(record.get("private", ""))
        raise


def whole(workspace: Home, record: JsonObject) -> JsonObject:
    """Return what an environment says that :func:`keep` was given."""
    value = dict(record["environment"])
    if "private" in record:
        value[VARIABLES] = workspace.private.read(record["private"])
    return value
