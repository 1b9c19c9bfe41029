"""The form of records: others may have written any JSON into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXTS = "kind name id experiment pipeline_run parent workspace message status run_id path root "
_TEXTS += "private description target entry_script script nearest digest"
_OBJECTS = "tags properties settings parameters destinations differences definition environment "
_OBJECTS += "storage_options"
FORMS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS.split(), (str,)),
    **dict.fromkeys(_OBJECTS.split(), (dict,)),
    **dict.fromkeys(("created", "time"), (int, float)),
}
"""Of what a record has under a key; null is nothing."""
LISTS_OF_RUNS: dict[str, type] = {
    **dict.fromkeys(("steps", "after"), str),
    **dict.fromkeys(("inputs", "side_inputs", "outputs"), dict),
}
"""Of lists in a run's folder, what is in them."""


def wrong_form(record: Mapping[str, object], lists: Mapping[str, type] | None = None) -> str:
    """Return what of a record is not of its form, as the rest of a sentence; ``""`` where all is.

    ``lists`` has what is in lists, where these have a form.

    Examples
    --------
    >>> wrong_form({"created": 1.5, "tags": {}, "steps": ["a"], "description": None})
    ''
    >>> wrong_form({"tags": ["a"]}), wrong_form({"steps": [1]}, LISTS_OF_RUNS)
    ("has 'tags' that is list", "has 'steps' with int in it")
    """
    for key, value in record.items():
        inside = (lists or {}).get(key)
        form = (list,) if inside else FORMS.get(key, (object,))
        if value is not None and not isinstance(value, form):
            return f"has {key!r} that is {type(value).__name__}"
        for each in value if inside and isinstance(value, list) else ():
            if not isinstance(each, inside or object):
                return f"has {key!r} with {type(each).__name__} in it"
    return ""
