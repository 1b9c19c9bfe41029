"""Which sinks there are, and how one is named: ``csv``, ``package.module:Class(option=1)``."""

from __future__ import annotations

import ast
import contextlib
import inspect
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from daskrun.core import plugins
from daskrun.errors import DaskrunError, SettingsError
from daskrun.output.sinks.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daskrun.core.settings import RunSettings

BUILT_IN = {
    "text": "daskrun.output.sinks.text:TextSink",
    "csv": "daskrun.output.sinks.csv:CsvSink",
    "jsonl": "daskrun.output.sinks.jsonl:JsonLinesSink",
    "parquet": "daskrun.output.sinks.parquet.sink:ParquetSink",
}
"""A new format is a file and a line here."""
ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""By the ending of the output's name: the format that it says."""
OF_TEXT = ("", ".txt", ".log", ".out")
"""Endings of names that lines of text go with."""
SUMMARY = "daskrun.output.sinks.sink:SummarySink"
GROUP = "daskrun.sinks"
"""Entry points by which an installed package registers sinks under names."""
SETTING = "append_row_format"
_EXAMPLE = f"{SETTING}='sinks:MySink', the module and class of a daskrun.Sink"


def sink_names() -> list[str]:
    """Return the names that can be written for ``append_row_format``."""
    return [*BUILT_IN, *sorted(set(plugins.entry_points(GROUP)) - set(BUILT_IN))]


def format_of(file_name: object, rows_are_said: bool) -> str:
    """Return the format that the name of an output chooses, where no other is given.

    ``rows_are_said``: the settings file beside the entry script says how rows look, which is text.
    """
    return "text" if rows_are_said else ENDINGS.get(_ending(file_name), "text")


def format_notes(file_name: str) -> list[str]:
    """Return what to say of a name whose ending chooses no format, where none is given."""
    ending = _ending(file_name)
    if ending in OF_TEXT or ending in ENDINGS:
        return []
    formats = ", ".join(f"{each!r} ({name})" for each, name in ENDINGS.items())
    note = (
        f"append_row_file_name={file_name!r}: there is no format for {ending!r}, so lines of text "
        f"are written under this name. Endings that choose a format are {formats}; "
        "append_row_format='text' says that text is meant."
    )
    return [note]


def _ending(file_name: object) -> str:
    stem, dot, ending = str(file_name).rpartition(".")
    return f".{ending.lower()}" if stem and dot else ""


def reference_of(given: object) -> str:
    """Return how a sink is named in settings and records: a text, for a class or object too.

    SettingsError: there is no such sink, or script processes could not make it.
    """
    if isinstance(given, Sink):
        kind, values = type(given), _values_of(given)
    elif isinstance(given, type) and issubclass(given, Sink):
        kind, values = given, ""
    else:
        _made(given)
        return str(given)
    name = kind.__qualname__
    if kind.__module__ == "__main__" or "." in name:
        raise _problem(
            given,
            f"is a class that script processes can't import ({kind.__module__}.{name}). Write it "
            "at the top level of a module, such as one beside the entry script.",
        )
    reference = f"{kind.__module__}:{name}{values}"
    if isinstance(given, Sink) and is_dataclass(given) and _made(reference) != given:
        raise _problem(given, "can't be written as text. Give its fields plain values.")
    return reference


def resolved(reference: str) -> str:
    """Return a reference that needs no entry points: script processes may not have them."""
    name, bracket, options = reference.partition("(")
    return f"{_place(name) or name}{bracket}{options}"


def open_sink(reference: str, file_settings: Mapping[str, Any] | None = None) -> Sink:
    r"""Return a sink of its own for this process, from what :func:`reference_of` returned.

    Examples
    --------
    >>> open_sink("csv").encode([{"file": "a.png", "digit": 7}])
    EncodedRows(data=b'file,digit\r\na.png,7\r\n', header=12)
    >>> open_sink("jsonl").encode([{"file": "a.png"}, [1, None]])
    EncodedRows(data=b'{"file": "a.png"}\n[1, null]\n', header=0)
    """
    sink = _made(reference)
    sink.configure(file_settings or {})
    return sink


def sink_of(settings: RunSettings) -> Sink:
    """Return the sink of a run."""
    sink = open_sink(sink_reference(settings), settings.append_row_settings)
    vars(sink)["columns"] = settings.columns
    return sink


def recorded_sink(settings: Mapping[str, Any]) -> Sink:
    """Return the sink of a run by its settings as a journal has them."""
    appends = settings.get("output_action") == "append_row"
    return open_sink(str(settings.get(SETTING) or "text") if appends else SUMMARY)


def sink_reference(settings: RunSettings) -> str:
    """Return how script processes name the sink of a run."""
    return resolved(settings.append_row_format) if settings.appends else SUMMARY


def sink_problems(settings: RunSettings) -> list[str]:
    """Return what settings, and the file of some beside an entry script, ask that it can't do."""
    sink = _made(settings.append_row_format)
    problems = sink.configure(settings.append_row_settings)
    if settings.columns == "same" or not settings.appends or sink.any_columns or problems:
        return problems
    with contextlib.closing(sink.headers(None)) as headers:
        if headers.by_name:
            return []
    named = f"append_row_format={settings.append_row_format!r}"
    problem = f"columns={settings.columns!r}: {named} has no names of columns in its output. Write "
    return [f"{problem}append_row_file_name='rows.csv' or 'rows.parquet', or leave columns out."]


def _place(name: str) -> str | None:
    """Return module and class of a name; None where nothing is registered under it."""
    if ":" in name or name in BUILT_IN:
        return BUILT_IN.get(name, name)
    registered = plugins.entry_points(GROUP).get(name)
    return registered.value if registered is not None else None


def _made(reference: Any) -> Sink:
    name, bracket, options = str(reference).partition("(")
    place = _place(name) if isinstance(reference, str) else None
    if place is None:
        written = " or ".join(f"{SETTING}={each!r}" for each in sink_names())
        raise _problem(reference, f"is not one of its values. Write {written}.")
    try:
        found = plugins.load(place)
    except (DaskrunError, ImportError) as error:
        why = str(error).rstrip(".")
        raise _problem(reference, f"can't be used: {why}. Write {_EXAMPLE}.") from error
    if not isinstance(found, type) or not issubclass(found, Sink):
        raise _problem(reference, f"is no sink. Write {_EXAMPLE}.")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise _problem(reference, f"lacks the method {missing} of a daskrun.Sink.")
    try:
        sink = found(**_options(f"{bracket}{options}"))
    except (SyntaxError, TypeError, ValueError) as error:
        raise _problem(reference, f"can't be made: {error}.") from error
    vars(sink)["reference"] = reference
    return sink


def _options(written: str) -> dict[str, object]:
    """Return the keywords of ``(table='scores')``, which must be plain values."""
    if not written:
        return {}
    call = ast.parse(f"sink{written}", mode="eval").body
    if not isinstance(call, ast.Call) or call.args or not all(each.arg for each in call.keywords):
        raise ValueError("options are written name=value")
    return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}


def _values_of(sink: Sink) -> str:
    """Return the fields of a dataclass that aren't as its class has them, as options."""
    if not is_dataclass(sink):
        return ""
    given = ((each, getattr(sink, each.name)) for each in fields(sink) if each.init)
    shown = [f"{each.name}={value!r}" for each, value in given if value != each.default]
    return f"({', '.join(shown)})" if shown else ""


def _problem(given: object, why: str) -> SettingsError:
    return SettingsError(SETTING, [f"{SETTING}={given!r} {why}"])
