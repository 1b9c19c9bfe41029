"""What the original has in ``azureml.data`` in another form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.data import protocols

if TYPE_CHECKING:
    from daskrun.data.protocols import Place


class PromoteHeadersBehavior:
    """Values of ``header=`` of :meth:`TabularDatasetFactory.from_delimited_files`: plain texts.

    Examples
    --------
    >>> PromoteHeadersBehavior.NO_HEADERS == "NO_HEADERS"
    True
    """

    NO_HEADERS = "NO_HEADERS"
    """No file has one."""
    ONLY_FIRST_FILE_HAS_HEADERS = "ONLY_FIRST_FILE_HAS_HEADERS"
    """The first file has, the others have not."""
    COMBINE_ALL_FILES_HEADERS = "COMBINE_ALL_FILES_HEADERS"
    """Each file has its own."""
    ALL_FILES_HAVE_SAME_HEADERS = "ALL_FILES_HAVE_SAME_HEADERS"
    """Each file has the same."""


class DataPath(protocols.DataPath):
    """A path in a datastore, made with the original's argument names.

    What it makes is what ``datastore.path('relative')`` gives.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Workspace
    >>> store = Workspace.create("trial", path=tempfile.mkdtemp()).get_default_datastore()
    >>> DataPath(datastore=store, path_on_datastore="images") == store.path("images")
    True
    """

    __slots__ = ()

    @original_keywords
    def __new__(cls, datastore: Place, path_on_datastore: str = "") -> Any:
        """Name a folder, file or glob in a datastore."""
        return protocols.DataPath(datastore, path_on_datastore)
