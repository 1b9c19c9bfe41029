"""YAML that others may have written: read within bounds, or refused with a ValueError."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from daskrun.storage.durable import read_file

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1_000_000
MOST_VALUES = 20_000
"""Values and keys, with aliases written out: by those, a text of a kilobyte stands for gigabytes.
"""
MOST_DEPTH = 50
MOST_DIGITS = 1000
"""Of a number: to read one takes the square of that, more with ``:``, which is base 60."""
NUMBER = re.compile(r"[-+0-9_:.eE]+")


def read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    """Return what is in a file: as nodes that know their lines, and as values.

    Raises OSError where it can't be read; ValueError, yaml.YAMLError where it is no YAML, or too
    large, too deep, or stands for too much.
    """
    return yaml_of(read_file(path))


def yaml_of(data: bytes) -> tuple[yaml.Node | None, Any]:
    """Return what a text is, likewise."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has {len(data):,} bytes, and {MOST_BYTES:,} are the most")
    _check(data)
    loader = yaml.SafeLoader(data)
    try:
        node = loader.get_single_node()
        keys = node.value[:] if isinstance(node, yaml.MappingNode) else None
        value = loader.construct_document(node) if node is not None else None
        if keys is not None:  # merging changes it
            node.value = keys
    finally:
        loader.dispose()
    return node, value


def _check(data: bytes) -> None:
    """Count without making anything of it."""
    open_sizes, anchors, names = [0], dict[str, int](), list[str | None]()
    for event in yaml.parse(data, yaml.SafeLoader):
        size = 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in names:
                raise ValueError(f"its anchor {event.anchor!r} stands for itself")
            size = anchors.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = anchors[event.anchor or ""] = 1
            if len(event.value) > MOST_DIGITS and NUMBER.fullmatch(event.value):
                raise ValueError(f"a number of it has {len(event.value):,} digits")
        elif isinstance(event, yaml.CollectionStartEvent):
            open_sizes.append(0)
            names.append(event.anchor)
            if len(names) > MOST_DEPTH:
                raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            size = anchors[names.pop() or ""] = open_sizes.pop() + 1
        open_sizes[-1] += size
        if sum(open_sizes) > MOST_VALUES:
            raise ValueError(f"it stands for more than {MOST_VALUES:,} values, aliases written out")
