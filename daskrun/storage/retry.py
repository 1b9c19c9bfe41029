"""Asking a store again where that may help, and saying what it answered without its secrets."""

from __future__ import annotations

import errno
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from daskrun.errors import StorageError
from daskrun.storage.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daskrun.storage.urls import StorageOptions

Result = TypeVar("Result")

TRIES = 5
FIRST_DELAY = 0.2
"""Seconds before something is tried again, doubled each time: 3 s in all, on top of the patience of
the file system itself."""
CHANCE = secrets.SystemRandom()
"""Its own, so that what a user's program has seeded goes on as it would."""
SLOW = 5.0
"""Seconds after which an answer is told of."""
FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotImplementedError,
    ImportError,
    TypeError,
    ValueError,
)
"""Errors that another try would only repeat."""
FINAL_NUMBERS = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG}
)
FINAL_NAMES = ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError")
"""Those of botocore, which is not imported for their sake."""


_listeners: list[Callable[[str], object]] = []


@contextmanager
def heard(listener: Callable[[str], object]) -> Iterator[None]:
    """Have what is tried again told to ``listener`` meanwhile, in any thread of this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def retry(
    what: str,
    call: Callable[[], Result],
    options: StorageOptions,
    *,
    plain: bool = False,
    tries: int = TRIES,
) -> Result:
    """Do something, again with growing pauses where that may help.

    ``what``: what it is, for messages: ``can't …``. ``options``: whose values no message shows.
    ``plain``: whether that something is missing, or is there, is raised as Python's own error.
    Raises StorageError where it fails for good.
    """
    delay, began = FIRST_DELAY, time.monotonic()
    for chance in range(tries):
        try:
            result = call()
        except StorageError:
            raise
        except Exception as error:
            if plain and isinstance(error, (FileNotFoundError, FileExistsError)):
                raise
            if _is_final(error) or chance == tries - 1:
                raise explained(f"can't {what}", error, options) from harmless(error, options)
            if not chance:
                why = explained(f"can't {what}", error, options)
                _tell(f"{why}. It is tried again, up to {tries} times")
            time.sleep(delay * CHANCE.uniform(0.5, 1.5))
            delay *= 2
        else:
            # the file system's own client tries again too, without a word
            if chance or time.monotonic() > began + SLOW:
                took = time.monotonic() - began
                _tell(f"the store has answered after {took:.1f} s: {what}")
            return result
    raise AssertionError


def _tell(text: str) -> None:
    for listener in _listeners:
        listener(text)


def explained(what: str, error: Exception, options: StorageOptions) -> StorageError:
    """Return the error that says what could not be done, and why, without secrets."""
    text = without_secrets(f"{type(error).__name__}: {error}", options).rstrip(".")
    return StorageError(f"{what}: {text}{_answer(error)}")


def _answer(error: BaseException | None) -> str:
    """Return the code and status that a store answered with, which s3fs leaves to the cause."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code", "")
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
            return f" ({code}, HTTP status {status})"
        error = error.__cause__
    return ""


def harmless(error: Exception, options: StorageOptions) -> Exception | None:
    """Return a cause that tracebacks may show; None for one that holds a secret."""
    link: BaseException | None = error
    while link is not None:
        text = str(link)
        if without_secrets(text, options) != text:
            return None
        link = link.__cause__ or link.__context__
    return error


def _is_final(error: Exception) -> bool:
    """Return whether another try would only repeat it."""
    if isinstance(error, FINAL) or type(error).__name__ in FINAL_NAMES:
        return True
    return isinstance(error, OSError) and error.errno in FINAL_NUMBERS
