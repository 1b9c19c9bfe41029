"""``Failed``: what ``run()`` returns in the place of a result for an item that it could not do."""

from __future__ import annotations

from typing import ClassVar


class Failed:
    """An item that has failed, among the results of ``run()``, whose others are kept.

    It counts as a failed item and is not tried again in the run; ``failed_items.txt`` names it with
    the error, ``run.resume(retry_failed=True)`` runs its mini-batch again.

    Parameters
    ----------
    item
        The item as ``run()`` got it, a path; of a table anything that tells which row it is.
    error
        Why: an exception, or a text.

    Examples
    --------
    >>> def run(mini_batch):
    ...     results = []
    ...     for path in mini_batch:
    ...         try:
    ...             results.append(open(path).read())
    ...         except OSError as error:
    ...             results.append(Failed(path, error))
    ...     return results
    >>> run(["nowhere.txt"])[0].item
    'nowhere.txt'
    """

    __slots__ = ("error", "item")
    _made: ClassVar[bool] = False
    """Whether this process has made one: else no result need be looked through for them."""

    def __init__(self, item: object, error: BaseException | str) -> None:
        if not isinstance(error, BaseException | str) or not error:
            raise TypeError(
                f"Failed({item!r}, {error!r}): the error is neither an exception nor a text. Write "
                "Failed(path, error), the error as it was caught."
            )
        self.item = item
        self.error = error
        Failed._made = True

    def __repr__(self) -> str:
        return f"Failed({self.item!r}, {self.error!r})"
