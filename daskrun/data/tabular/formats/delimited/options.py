"""What ``from_delimited_files`` is told of how files are written, checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from daskrun.data.tabular.formats.text.dialect import BACKSLASH, DOUBLE, check_separator
from daskrun.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daskrun.data.tabular.formats.delimited.spec import DelimitedOptions
    from daskrun.data.tabular.formats.text.dialect import Dialect

_FIELDS = 5000
"""Fields of a sample whose quotes are looked at."""


def check_options(given: DelimitedOptions, encoding: str) -> None:
    """Check how files are said to be written.

    Raises
    ------
    DatasetError
        An option can't be what it is, or not beside another.
    """
    check_separator(given.separator, encoding)
    for wrong in _wrong(given):
        raise DatasetError(wrong)


def _wrong(given: DelimitedOptions) -> Iterator[str]:
    separator, comment = given.separator, given.comment
    if given.quoting not in (DOUBLE, BACKSLASH):
        yield (
            f"quoting={given.quoting!r} is not known. Write 'double' where a quote in a quoted "
            "field is written twice, or 'backslash' where a backslash is before it."
        )
    if given.quoting == BACKSLASH and separator == "\\":
        yield "separator='\\\\' can't be beside quoting='backslash'. Leave one of them out."
    if given.skip_initial_space not in (True, False):
        yield f"skip_initial_space={given.skip_initial_space!r}: write True or False."
    if given.skip_initial_space and separator == " ":
        yield "separator=' ' can't be beside skip_initial_space=True. Leave one of them out."
    if comment is not None and (
        not isinstance(comment, str) or not comment or set(comment) & {'"', "\r", "\n", separator}
    ):
        yield (
            f"comment={comment!r} can't be what lines that are no records begin with: no quote, "
            "line end or separator is. Write a text such as comment='#'."
        )
    rows = given.skip_rows
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        yield f"skip_rows={rows!r} is no number of lines. Write an int from 0."
    for name, mark in (("decimal", given.decimal), ("thousands", given.thousands)):
        one = isinstance(mark, str) and re.fullmatch(r"[^0-9eE+\-\"\r\n]", mark)
        if not one and not (name == "thousands" and mark is None):
            yield f"{name}={mark!r} is no character that numbers have. Write one such as ','."
    if given.decimal == given.thousands:
        yield f"decimal={given.decimal!r} and thousands= are the same character. Give two."
    words = given.null_values
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        yield f"null_values={words!r} is no list of texts. Write one such as null_values=['-']."


def quoting_hints(data: bytes, dialect: Dialect) -> list[str]:
    r"""Say what quotes in a sample (UTF-8) tell that is not what was said, and what to write.

    Examples
    --------
    >>> from daskrun.data.tabular.formats.text.dialect import Dialect
    >>> quoting_hints(b'"say \\"hi\\"",1\n', Dialect(",", "utf8"))[0].partition(".")[2]
    " Where a backslash stands before quotes in a text write quoting='backslash'."
    """
    if b'"' not in data:
        return []
    end = re.escape(dialect.separator.encode())
    field = re.compile(
        rb'(?:"((?:[^"]|"")*)"((?:(?!%s)[^\r\n])*)|( +"(?:(?!%s)[^\r\n])*)|(?:(?!%s)[^\r\n])*)'
        rb"(?:%s|\r\n|\r|\n|\Z)" % (end, end, end, end)
    )
    told: dict[str, str] = {}
    for number, found in enumerate(field.finditer(data)):
        if number >= _FIELDS:
            break
        shown = found[0].decode(errors="replace").strip("\r\n")[:60]
        if found[2] and dialect.quoting == DOUBLE:
            escaped = b"\\" in (found[1] or b"")[-1:]
            told.setdefault(
                "behind",
                f"text stands behind a quote that closes its field, as in {shown!r}, and is read "
                "as it is. "
                + (
                    "Where a backslash stands before quotes in a text write quoting='backslash'."
                    if escaped
                    else "A quote in a quoted text must be doubled."
                ),
            )
        elif found[3] and not dialect.skip_initial_space:
            told.setdefault(
                "blank",
                f"a quote behind a blank, as in {shown!r}, opens no field, so it is read as it "
                "is. Where blanks before fields are none of them write skip_initial_space=True.",
            )
    return list(told.values())
