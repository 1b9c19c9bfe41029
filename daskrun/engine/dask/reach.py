"""What of a run a worker can't reach: looked at before its node begins."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daskrun.data.remote_files import opened
from daskrun.script.messages import Unreachable
from daskrun.script.wire import decode_trusted
from daskrun.storage.retry import FINAL_NAMES
from daskrun.storage.urls import is_url, shown_url, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from daskrun.core.minibatch import PlanInput
    from daskrun.script.node_spec import NodeSpec

LIMIT = 5.0
"""Seconds a path may take to show up: a network file system tells of new folders late."""
AWAY = (ImportError, ConnectionError, TimeoutError, socket.gaierror)
AWAY_NAMES = frozenset({"ConnectionError", "ClientConnectionError", *FINAL_NAMES})
"""Classes of botocore and aiohttp, which are not imported for their sake. A store that refuses a
listing, or has nothing there, is reached: files may be read all the same."""
_reached: set[str] = set()
"""URLs that have answered: a worker that stays is asked once."""


class _Place(NamedTuple):
    what: str
    path: str
    options: Mapping[str, Any] | None = None
    written: bool = False


def unreachable(spec: NodeSpec, limit: float = LIMIT) -> Unreachable | None:
    """Return the first place of a run that can't be reached from here, None if all can."""
    deadline = time.monotonic() + limit
    for place in _places(spec):
        if trouble := _no_answer(place) if is_url(place.path) else _no_use(place, deadline):
            return Unreachable(place.what, shown_url(place.path), trouble)
    return None


def _places(spec: NodeSpec) -> Iterator[_Place]:
    run_folder, process = str(Path(spec.logs).parent), spec.process
    own = f"{run_folder}/" if spec.run_copy else None  # that the node gets a copy of
    if spec.run_copy is None:
        yield _Place("the run's folder in the workspace", run_folder, written=True)
        yield _Place("the entry script", process.script.path)
    if process.parts:
        yield _Place("the output", process.parts, process.storage_options, written=True)
    for output in process.files:
        yield _Place("an output", output.url, output.options, written=True)
    inputs: tuple[PlanInput, ...] = decode_trusted(process.inputs)
    for each in inputs:
        yield from _of_input(f"input {each.name!r}", each.root, each.storage_options, own)
    for name, side in spec.side_inputs.items():
        yield from _of_input(f"side input {name!r}", side.root, side.options, own)


def _of_input(
    what: str, root: str, options: Mapping[str, Any], own: str | None
) -> Iterator[_Place]:
    if root and not (own and root.startswith(own)):
        yield _Place(what, root, options)


def _no_use(place: _Place, deadline: float) -> str:
    """Return why a path is not there, or not for this worker's user; ``""`` where it is."""
    while True:
        try:
            folder = stat.S_ISDIR(Path(place.path).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if time.monotonic() > deadline:
                return "there is no such path"
            time.sleep(0.2)
        except OSError as error:
            return f"{error.strerror} (user id {os.getuid()})"
        else:
            break
    needed = (os.X_OK if folder else os.R_OK) | (os.W_OK if place.written else 0)
    verb = "write" if place.written else "read"
    return "" if os.access(place.path, needed) else f"user id {os.getuid()} may not {verb} there"


def _no_answer(place: _Place) -> str:
    """Return why a store can't be reached; ``""`` where it has answered, whatever it said."""
    if place.path in _reached:
        return ""
    try:
        system, path = opened(place.path, place.options or {})
        system.info(path)
    except Exception as error:  # noqa: BLE001  (a file system's own; told where it means that)
        names = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, AWAY) or names & AWAY_NAMES:
            return without_secrets(f"{type(error).__name__}: {error}", place.options or {})
    _reached.add(place.path)
    return ""


def told(message: Unreachable) -> str:
    """Return what a worker can't reach, and what to do about it.

    Examples
    --------
    >>> told(Unreachable("input 'images'", "/data/images", "there is no such path"))
    "can't reach input 'images', /data/images: there is no such path. Mount it there under that \
path, open to the worker's user, or keep it behind a URL"
    """
    remedy = "Mount it there under that path, open to the worker's user, or keep it behind a URL"
    if "://" in message.path:
        remedy = "See that it reaches that store, and has the package and credentials for it"
    return f"can't reach {message.what}, {message.path}: {message.why}. {remedy}"
