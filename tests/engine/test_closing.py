"""The end of a run: each part of it is closed, and what fails there is a sentence."""

import pytest

from daskrun.engine.closing import close_all
from daskrun.errors import StorageError

TOLD = "can't write the journal"


@pytest.mark.parametrize(
    ("error", "says", "traced"),
    [
        (PermissionError(13, "Permission denied", "/out"), "Permission denied: '/out'", False),
        (StorageError("the disk is gone"), "the disk is gone", False),
        (StorageError(TOLD), "", False),
        (TypeError("a mistake of ours"), "closing failed", True),
    ],
)
def test_the_rest_is_closed_and_a_disk_that_fails_is_told_in_a_sentence(
    caplog, error, says, traced
):
    closed = []

    def fail():
        raise error

    close_all("run1", TOLD, fail, lambda: closed.append(1))
    assert closed == [1]
    assert [says in record.getMessage() for record in caplog.records] == [True] * bool(says)
    assert ("Traceback" in caplog.text) == traced
