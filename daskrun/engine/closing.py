"""The end of a dispatcher, told of while it lasts: script processes may take long in shutdown()."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from daskrun.core.events import NodePreparing, Note
from daskrun.core.logs import get_logger
from daskrun.errors import DaskrunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.core.events import Event
    from daskrun.engine.dispatch import Dispatcher

logger = get_logger(__name__)


def close_and_tell(
    dispatcher: Dispatcher, events: Callable[[], Iterator[Event]], tell: Callable[[Event], None]
) -> None:
    """Close a dispatcher, and tell meanwhile what nodes say; ``events`` waits for some.

    Raises what closing it raises.
    """
    failed: list[Exception] = []
    last = Note("", time.monotonic())

    def close() -> None:
        try:
            dispatcher.close()
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            failed.append(error)
        finally:
            dispatcher.events.put(last)  # behind all that was said

    if dispatcher.closes_beside:
        threading.Thread(target=close, name="daskrun-close", daemon=True).start()
    else:
        close()
    closing = True
    while closing:
        for event in events():
            closing = closing and event is not last
            if isinstance(event, NodePreparing) or (isinstance(event, Note) and event.text):
                tell(event)
    if failed:
        raise failed[0]


def close_all(run_id: str, told: str, *closing: Callable[[], object]) -> None:
    """Call each, whatever the others raise, which is logged.

    What ended the run, ``told`` already, may well happen again.
    """
    for close in closing:
        try:
            close()
        except (DaskrunError, OSError) as error:  # of a disk or a store: a sentence
            if str(error) != told:
                logger.warning("run %s: its end could not be tidied: %s", run_id, error)
        except Exception:
            logger.exception("run %s: closing failed", run_id)
