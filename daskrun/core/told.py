"""What of a run's settings may be told to all who read its folder, and what looks like a secret.

Values of environment variables and arguments of scripts may be secret. They are kept in files that
only their user may read; everything else is told by these functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from daskrun.shown.url_secrets import HIDDEN, secrets_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_OPTION = r"(?s)(--[A-Za-z][\w.-]*)(=.*)?|-[A-Za-z]"
_WORD = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+"
_SECRET = "pass(word|wd|phrase)|pwd|secrets?|credentials?|apikey"
_SECRET_LAST = "token|auth(orization)?|sas|bearer"
_PAIR = r"(?i)\b(account_?key|password|pwd|shared_?access\w{0,20}|secret)\s{0,9}=\s{0,9}[^;\s]{4}"
"""What connection strings have."""
_ABOUT = "count|dir|file|id|length|name|path|size|type"
"""What a name ends in that tells of a secret, and is none."""
_KINDS_OF_KEY = "access|account|api|auth|private|secret|service|signing|ssh"
_OF_TEXTS = "bos|cls|eos|mask|pad|sep|special|unk"
"""Tokens of language models, which are no secrets."""
_INSTEAD = (
    "Set it on the nodes instead, which pass their variables on to scripts, or use a workspace in "
    "a folder."
)


def told_arguments(arguments: Iterable[object]) -> list[object]:
    """Return a script's arguments without what may be secret: names of options, and how many.

    Examples
    --------
    >>> told_arguments(["--token", "hush", "--rate=0.1", "-v"])
    ['--token', '***', '--rate=***', '-v']
    """
    return [_told(each) if isinstance(each, str) else _told_path(each) for each in arguments]


def _told_path(argument: object) -> object:
    """Return a path among arguments, as a record, without the texts around it."""
    if not isinstance(argument, dict):
        return argument
    texts = ("before", "after")
    return {k: HIDDEN if k in texts else v for k, v in argument.items() if v or k not in texts}


def _told(argument: str) -> str:
    option = re.fullmatch(_OPTION, argument)
    if option is None:
        return HIDDEN
    return f"{option[1]}={HIDDEN}" if option[2] else argument


def secret_problems(
    variables: Mapping[str, str], arguments: Sequence[object], where: str
) -> list[str]:
    """Return which variables and arguments look like secrets, for a place that all may read.

    Examples
    --------
    >>> secret_problems({"API_TOKEN": "hush"}, [], "s3://bucket/team")[0][:71]
    "environment_variables: 'API_TOKEN' looks like a secret, and s3://bucket"
    """
    found = [
        f"environment_variables: {name!r}"
        for name, value in variables.items()
        if value and (_holds_secret(value) or is_secret_name(name, keys=True))
    ]
    found += [f"arguments[{number}] of the script" for number in _secret_arguments(arguments)]
    why = f"looks like a secret, and {where} would show it to all who may read there"
    return [f"{what} {why}. {_INSTEAD}" for what in found]


def _secret_arguments(arguments: Sequence[object]) -> Iterator[int]:
    before = ""
    for number, each in enumerate(arguments):
        text = each if isinstance(each, str) else ""
        option, given, value = text.partition("=")
        named = text.startswith("-") and given and value and is_secret_name(option)
        follows = text and not text.startswith("-") and is_secret_name(before)
        if named or follows or _holds_secret(text):
            yield number
        before = text if text.startswith("-") and not given else ""


def _holds_secret(text: str) -> bool:
    return bool(secrets_in(text) or re.search(_PAIR, text))


def is_secret_name(name: str, *, keys: bool = False) -> bool:
    """Return whether a name of an option or variable is one that secrets have.

    With ``keys`` any name that ends in ``key`` is.

    Examples
    --------
    >>> [is_secret_name(name) for name in ("--api-key", "DB_PASSWORD", "--partition-key", "-v")]
    [True, True, False, False]
    """
    words = [word.lower() for word in re.findall(_WORD, name)]
    if not words:
        return False
    *before, last = words
    if last in ("key", "keys"):
        return keys or _any_is(_KINDS_OF_KEY, before)
    if re.fullmatch(_ABOUT, last) or (last == "token" and _any_is(_OF_TEXTS, before)):
        return False
    return bool(re.fullmatch(_SECRET_LAST, last)) or _any_is(_SECRET, words)


def _any_is(pattern: str, words: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, word) for word in words)
