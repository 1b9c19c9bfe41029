"""How an environment is kept: what may be secret in a file that only its user may read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from daskrun.core.told import secret_problems
from daskrun.errors import SettingsError
from daskrun.shown.url_secrets import holds_secret, shown_url
from daskrun.workspace.layout import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.core.codec import JsonObject
    from daskrun.workspace.home import Home

VARIABLES = "environment_variables"


def may_be_secret(value: Mapping[str, Any]) -> bool:
    """Return whether what an environment says holds values that others should not read."""
    return bool(value.get(VARIABLES) or value["docker"]["arguments"] or holds_secret(value))


def keep(workspace: Home, name: str, value: JsonObject) -> int:
    """Keep what an environment says as the next version; what may be secret goes aside.

    SettingsError is raised where it looks like a secret and there is no place for one.
    """
    files = workspace.private
    record: JsonObject = {"created": time.time()}
    if files.keeps and may_be_secret(value):
        workspace.sweep_private()
        record["private"] = files.keep(value)
    else:
        # Most variables are no secrets, and a workspace behind a URL has no better place.
        _check_open(value, shown_url(workspace.location))
        record["environment"] = value
    try:
        return workspace.records.create(ENVIRONMENTS, name, record)
    except BaseException:
        files.remove(record.get("private", ""))
        raise


def _check_open(value: Mapping[str, Any], where: str) -> None:
    problems = secret_problems(value.get(VARIABLES, {}), value["docker"]["arguments"], where)
    if not problems and holds_secret(value):
        problems = [f"a URL in it holds a secret, and {where} would show it to all who may read."]
    if problems:
        raise SettingsError("Environment.register", problems)


def whole(workspace: Home, record: JsonObject) -> JsonObject:
    """Return what an environment says that :func:`keep` was given."""
    if "environment" not in record:
        return workspace.private.read(record["private"])
    value = dict(record["environment"])
    if "private" in record:  # of an older daskrun
        value[VARIABLES] = workspace.private.read(record["private"])
    return value
