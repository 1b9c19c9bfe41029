"""How a dataframe in memory is read."""

from __future__ import annotations

from dataclasses import dataclass

from daskrun.data.tabular.formats.contract import ReaderSpec


@dataclass(frozen=True, kw_only=True)
class FrameSpec(ReaderSpec):
    """The schema of a dataframe; its rows come with the secrets, which are never written down."""

    format = "frame"
    of_files = False
    in_memory = True
