"""Secrets in URLs, found by reading a text once, whatever the scheme and wherever the URL stands.

A URL of a user often breaks the rules: passwords have blanks and slashes, SQLAlchemy and fsspec
have schemes of their own. What may be a secret is hidden, so that in doubt too much is. A text that
is known to be one URL (``shown_url``) ends nowhere before its end; in others (``shown_text``) a URL
ends at a blank, a quote or a line break.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any, NamedTuple

HIDDEN = "***"
_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-_")
_LONGEST_SCHEME = 40
_QUOTES = "'\"`"
_STOP = r"[\s'\"`<>]"
"""What a URL ends at where no quotes enclose it."""
_AUTHORITY = r"[/\\?#]"
_ASKED = r"[?#&]([^\s=/?#&*]{1,64})="
"""A parameter; ``?`` alone is a wildcard of many a path."""
_ASKED_OF_URL = _ASKED.replace(r"\s", "")
_QUERY = "[?#]"
_PORT = r"[0-9]{0,5}|\*"
_SURE_HOST = (
    r"localhost|\d+(\.\d+){3}|[\w.-]+\."
    r"(com|org|net|edu|gov|io|dev|app|cloud|local|internal|intern|lan|corp|home|svc|test|[a-z]{2})"
)
"""What with a port behind it is a host. ``me:1234/...@`` may be a user and the password."""
_CHAIN = r"\W*([\w+.-]+::)*"
"""What may stand before the first ``scheme:`` of a text that is a URL."""
_VARIABLE = r"\$\{\w+\}|"
"""A name in the place of a secret, as pip takes it; or nothing."""
_SAYS_WHERE = r"(?i:egg|subdirectory|md5|sha\d+)"
"""Parameters of pip's lines that are known to be none."""
_NAMES = frozenset({"ssh", "sftp", "scp", "git"})
"""Schemes that have a name alone where others may have a token."""
_CONTAINERS = frozenset({"abfs", "abfss", "az", "wasb", "wasbs"})
"""Schemes that have the name of a container where others have a user's."""
_SHORTEST = 4
"""Characters below which a value is no secret, and hiding it would garble a message."""


_MARKS = ("@", "\n", _STOP, _AUTHORITY, _QUERY)


class _Url(NamedTuple):
    """Where a URL is in a text."""

    scheme: str
    start: int
    body: int
    """Where the authority begins."""
    slashes: int


class _Text:
    """A text, with what is looked for in it again and again."""

    def __init__(self, text: str, is_url: bool) -> None:
        self.text = text
        found = (self._url(match) for match in re.finditer(r":(/+)", text))
        self.urls = [url for url in found if url is not None]
        first = self.urls[0].start if self.urls else 0
        self.is_url = is_url and re.fullmatch(_CHAIN, text[:first]) is not None
        self._places = {mark: self._all(mark) for mark in _MARKS}

    def _all(self, mark: str) -> list[int]:
        if self.is_url and mark in ("\n", _STOP):
            return []
        return [match.start() for match in re.finditer(mark, self.text)]

    def _url(self, match: re.Match[str]) -> _Url | None:
        start = least = match.start()
        while start > 0 and least - start < _LONGEST_SCHEME and self.text[start - 1] in _SCHEME:
            start -= 1
        if least - start < 2:  # a drive of Windows, or no scheme at all
            return None
        scheme = self.text[start:least].lower()
        return _Url(scheme, start, match.end(), len(match[1]))

    def first(self, mark: str, start: int, end: int | None = None) -> int:
        """Return where the first of some characters is, -1 (or the text's end) without one."""
        places = self._places[mark]
        number = bisect_left(places, start)
        found = places[number] if number < len(places) else len(self.text)
        return found if end is None or found < end else -1

    def last_at_sign(self, start: int, end: int) -> int:
        """Return where the last ``@`` between is, -1 where there is none."""
        places = self._places["@"]
        number = bisect_left(places, end) - 1
        return places[number] if number >= 0 and places[number] >= start else -1

    def next_url(self, number: int) -> int:
        """Return where the next URL begins that can't be a part of a password."""
        own = self.urls[number]
        for url in self.urls[number + 1 : number + 20]:
            before = self.text[max(0, url.start - 2) : url.start]
            apart = before == "::" or (before[-1:] not in ":@" and not self.is_url)
            if apart and url.slashes > 1 and url.start > own.body:
                return url.start
        return len(self.text)


def shown_url(url: str) -> str:
    """Return a URL, or path, without what may be a secret: user and password, query and fragment.

    Examples
    --------
    >>> shown_url("https://me:my secret@host/0.png?sig=a b")
    'https://***@host/0.png?***'
    >>> shown_url("abfs://container@account/folder/a?.csv")
    'abfs://container@account/folder/a?.csv'
    """
    return _shown(url, is_url=True)


def shown_text(text: str) -> str:
    """Return a text with :func:`shown_url` of the URLs that are somewhere in it.

    Examples
    --------
    >>> shown_text("no https://me:secret@host/0.png?sig=abc")
    'no https://***@host/0.png?***'
    """
    return _shown(text, is_url=False)


def _shown(text: str, is_url: bool) -> str:
    if not _may_hide(text):
        return text
    parts, at = [], 0
    for start, end in _secret_parts(text, is_url):
        parts += [text[at:start], HIDDEN]
        at = end
    return "".join([*parts, text[at:]])


def without_url_secrets(value: Any) -> Any:
    """Return a JSON value with :func:`shown_text` of every text in it."""
    if isinstance(value, str):
        return shown_text(value)
    if isinstance(value, dict):
        return {key: without_url_secrets(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_url_secrets(each) for each in value]
    return value


def holds_secret(value: object) -> bool:
    """Return whether a text in a JSON value has a URL with what may be a secret."""
    if isinstance(value, str):
        return shown_text(value) != value
    if isinstance(value, dict):
        return any(map(holds_secret, value.values()))
    return isinstance(value, list | tuple) and any(map(holds_secret, value))


def secrets_in(text: str, *, is_url: bool = False) -> list[str]:
    """Return what may be a secret in the URLs of a text, each as it is written and as it is meant.

    ``is_url`` says that the text is known to be one URL.

    Examples
    --------
    >>> secrets_in("s3://KEYID:s%2Fcret@bucket?token=abcdefgh")
    ['KEYID:s%2Fcret', 'KEYID:s/cret', 's%2Fcret', 's/cret', 'token=abcdefgh', 'abcdefgh']
    """
    if not _may_hide(text):
        return []
    from urllib.parse import unquote, unquote_plus  # seldom needed, and loaded with every error

    found: dict[str, None] = {}
    for start, end in _secret_parts(text, is_url):
        whole = text[start:end]
        asked = text[start - 1] in "?#&"
        parts = [each.partition("=")[2] for each in re.split("[&;#]", whole)] if asked else []
        parts += [] if asked else [whole.partition(":")[2]]
        for part in (whole, *parts):
            for form in (part, unquote(part), unquote_plus(part)):
                if len(form) >= _SHORTEST and form != HIDDEN:
                    found[form] = None
    return list(found)


def _may_hide(text: str) -> bool:
    """Return whether a closer look is needed; most paths and URLs need none."""
    return ":/" in text and ("@" in text or "?" in text or "#" in text)


def _secret_parts(text: str, is_url: bool) -> list[tuple[int, int]]:
    """Return from where to where secrets are, in order."""
    known, found, done = _Text(text, is_url), [], 0
    for number, url in enumerate(known.urls):
        if url.start < done:
            continue
        end, limit, enclosed = _extent(known, number, url)
        host, done = url.body, url.body
        user_end = _user_end(known, number, url, end, enclosed)
        if user_end >= 0:
            if not _is_open(url, text[url.body : user_end]):
                found.append((url.body, user_end))
            host = done = user_end + 1
            if host > end:  # a password with a blank
                end = limit = min(known.first(_STOP, host), known.next_url(number))
        elif url.slashes < 2:  # a path
            continue
        asked = _asked(known, url, host, end)
        if asked >= 0:
            # What is asked for may be a URL itself, so the next one does not end it.
            done = limit if enclosed else known.first(_STOP, asked)
            last = asked + 1 + len(text[asked + 1 : done].rstrip("" if enclosed else ").,;:]}"))
            if last > asked + 1:
                found.append((asked + 1, last))
    return found


def _extent(known: _Text, number: int, url: _Url) -> tuple[int, int, bool]:
    """Return where a URL ends, with those chained to it too, and whether a border says so.

    Borders are quotes around it, and a text that is nothing else.
    """
    text, before, enclosed = known.text, known.text[url.start - 1 : url.start], known.is_url
    limit = -1
    if not enclosed and before and before in _QUOTES:
        closing = re.compile(rf"(?<!\\){before}")  # not one that repr() has escaped
        if found := closing.search(text, url.body, known.first("\n", url.body)):
            limit, enclosed = found.start(), True
    if limit < 0:
        limit = known.first(_STOP, url.body)
        enclosed = enclosed or (not url.start and limit == len(text))
    return min(limit, known.next_url(number)), limit, enclosed


def _user_end(known: _Text, number: int, url: _Url, end: int, enclosed: bool) -> int:
    """Return where the ``@`` behind user and password is, -1 where there is none."""
    text = known.text
    authority_end = min(end, known.first(_AUTHORITY, url.body))
    authority = text[url.body : authority_end]
    colon, at_sign = authority.find(":"), authority.rfind("@")
    if at_sign >= 0:
        if colon < 0 or (colon > at_sign and url.scheme.startswith("git")):  # git@host:path
            return url.body + at_sign if url.slashes > 1 else -1
        # Behind a password an @ of the path may be a part of it.
        return known.last_at_sign(url.body, min(end, known.first(_QUERY, authority_end)))
    if colon < 0 or authority.startswith("["):
        return -1
    port = authority.rpartition(":")[2]
    is_port = port and re.fullmatch(_PORT, port) is not None
    if is_port and "sql" not in url.scheme and _is_host(authority):
        return -1
    found = known.last_at_sign(url.body, end)
    if found >= 0 or enclosed or is_port:
        return found
    if not port and url.start:  # most likely what is told of the URL
        return known.first("@", end, known.first(_STOP, end + 1))
    # A password with blanks, or quotes.
    return known.first("@", end, min(known.first("\n", end), known.next_url(number)))


def _is_host(authority: str) -> bool:
    """Return whether host and port can't be a user and the beginning of a password."""
    return re.fullmatch(f"({_SURE_HOST}):({_PORT})", authority) is not None


def _is_open(url: _Url, user: str) -> bool:
    """Return whether what stands before an ``@`` is known to be no secret."""
    name, colon, password = user.partition(":")
    if not colon:
        known = url.scheme in _CONTAINERS or url.scheme.rpartition("+")[2] in _NAMES
        return known or bool(re.fullmatch(_VARIABLE, name))
    if user == "user:password" or (password == HIDDEN and ":" not in name):  # examples, and ours
        return True
    return bool(password and re.fullmatch(_VARIABLE, password) and re.fullmatch(_VARIABLE, name))


def _asked(known: _Text, url: _Url, host: int, end: int) -> int:
    """Return where a query or fragment begins that may hold a secret, -1 where there is none."""
    begins = known.first(_QUERY, host, end)
    if begins < 0:
        return -1
    if known.text[begins] == "?" and url.scheme.rpartition("+")[2] in ("http", "https"):
        return begins
    parameter = re.compile(_ASKED_OF_URL if known.is_url else _ASKED)
    for match in parameter.finditer(known.text, begins, end):
        if not re.fullmatch(_SAYS_WHERE, match[1]):
            return match.start()
    return -1
