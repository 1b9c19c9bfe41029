"""What can be logged: values as JSON has them, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from daskrun.errors import SettingsError


def check_name(method: str, name: object) -> None:
    """Raise SettingsError where a metric or tag has no name."""
    if not isinstance(name, str) or not name.strip():
        raise SettingsError(method, [f"name={shown(name)} is not a name. Write name='loss'."])


def checked(method: str, name: object, value: Any, hint: str) -> Any:
    """Return a number, text or flag as JSON has it; arrays of one element count as that.

    Anything else raises SettingsError, which says ``hint``.
    """
    check_name(method, name)
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    for step in ("item", "numpy"):  # numpy's and most tensors' own way; TensorFlow's by numpy
        if callable(getattr(value, step, None)):
            try:
                return checked(method, name, getattr(value, step)(), hint)
            except (ValueError, RuntimeError, TypeError, SettingsError):
                break  # more than one element
    kind = type(value).__name__
    problem = f"{name}={shown(value)} is of type {kind}, not a number, text or flag: {hint}."
    raise SettingsError(method, [problem])


def many(method: str, name: str, argument: str, values: Any) -> list[Any]:
    """Return the values of a list, array or Series, each as :func:`checked` does."""
    check_name(method, name)
    if hasattr(values, "tolist"):  # arrays, Series
        values = values.tolist()
    if isinstance(values, str | Mapping) or not hasattr(values, "__iter__"):
        problem = f"{argument}={shown(values)} is not a list. Write {argument}=[0.6, 0.7]."
        raise SettingsError(method, [problem])
    hint = "write a list of such values"
    return [checked(method, argument, value, hint) for value in values]


def image(path: Any, plot: Any) -> tuple[bytes, str]:
    """Return the bytes of an image, from its file or a figure, and its file name's ending."""
    example = "Write log_image(name, path='roc.png') or log_image(name, plot=plt)."
    if (path is None) == (plot is None):
        given = "neither path nor plot" if path is None else "both path and plot"
        raise SettingsError("log_image", [f"there is {given}. {example}"])
    if plot is not None:
        if not callable(getattr(plot, "savefig", None)):
            problem = f"plot={shown(plot)} is no figure: it has no savefig(). {example}"
            raise SettingsError("log_image", [problem])
        drawn = BytesIO()
        plot.savefig(drawn, format="png")
        return drawn.getvalue(), ".png"
    try:
        return Path(path).read_bytes(), Path(path).suffix
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError(
            "log_image", [f"path={path!r} can't be read: {error}. {example}"]
        ) from error


def shown(value: object) -> str:
    """Return what was typed, in one line that is not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
