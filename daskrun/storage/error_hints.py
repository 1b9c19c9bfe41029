"""What to do about storage that fails: the sentence that an error ends with."""

from __future__ import annotations

import errno

RESUME = "then go on with run.resume()"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a disk, or a quota on it, answers when nothing more fits."""
_REMEDIES = {
    errno.ENOSPC: "The disk is full: free space there",
    errno.EDQUOT: "The quota is used up: free space there, or have the quota raised",
    errno.EROFS: "The disk is mounted for reading only: have it mounted for writing",
    errno.ENOENT: "The folder was removed while the run went on: see that nothing else removes it",
    errno.EACCES: "Give this user the right to write there",
    errno.EPERM: "Give this user the right to write there",
    errno.EFBIG: "A file there may not grow further: raise the limit (ulimit -f, the file system)",
}
_REMEDIES[errno.ENOTDIR] = _REMEDIES[errno.ENOENT]
_OTHERS = "The disk or the network mount has failed: mend it (the system's log may say more)"


def remedy(error: OSError) -> str:
    """Return what to do about an error of a disk, so that the run can go on."""
    return f"{_REMEDIES.get(error.errno or 0, _OTHERS)}, {RESUME}."


def store_remedy(error: OSError) -> str:
    """Return what a store answered that was asked in vain, and what to do so that run can go on."""
    text = str(error).rstrip(".")
    return f"{text}. See that the store can be reached and that there is room, {RESUME}."


def explained(what: str, error: OSError) -> str:
    """Return what can't be done, why, and what to do about it."""
    return f"{what}: {str(error.strerror or error).rstrip('.')}. {remedy(error)}"
