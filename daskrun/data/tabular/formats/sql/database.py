"""A database connection that only reads, ends on time, and never shows its password."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import quote, quote_plus

from daskrun.data.libraries import sa
from daskrun.errors import DatasetError

_SHOWN = 120
"""Characters of a query that messages show."""
_SECRET = re.compile(
    r"pass|pwd|secret|token|credential|key|odbc_connect|auth|sig$|sas$", re.IGNORECASE
)
"""Parameters of a URL that hold secrets; ODBC's is a text with the password in it."""
_CANCELED = ("57014",)
"""SQLSTATE of PostgreSQL for a statement that was canceled, as by its own timeout."""


def shown_query(query: str) -> str:
    """Return a query as messages show it."""
    text = " ".join(query.split())
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def parse_url(text: str) -> Any:
    """Return the ``sqlalchemy.URL`` of a text.

    Raises DatasetError if it is none, or SQLAlchemy is not installed.
    """
    try:
        return sa.make_url(text)
    except ImportError:
        raise DatasetError(
            "from_sql_query() needs SQLAlchemy, which is not installed. Write "
            "pip install 'daskrun[sql]'."
        ) from None
    except sa.exc.ArgumentError:
        # The text may hold a password where a URL would not.
        raise DatasetError(
            "connection= is no SQLAlchemy URL. Write one such as "
            "'postgresql+psycopg://user:password@host/database' or 'sqlite:////data/rides.db'."
        ) from None


def shown_connection(url: Any) -> str:
    """Return a ``sqlalchemy.URL`` as messages show it: ``***`` for the password, also in its query.

    Examples
    --------
    >>> shown_connection(parse_url("postgresql://host/db?user=me&password=secret&sslmode=require"))
    'postgresql://host/db?password=***&sslmode=require&user=me'
    """
    asked = {name: "***" if _SECRET.search(name) else value for name, value in url.query.items()}
    shown = url.set(query=asked).render_as_string(hide_password=True)
    return str(shown).replace("%2A%2A%2A", "***")


class Database:
    """A database that queries are sent to, one at a time; connected when it is first needed."""

    def __init__(self, connection: str, timeout: float) -> None:
        self._url = parse_url(connection)
        self._timeout = timeout
        self._connection: Any = None

    @property
    def shown(self) -> str:
        """The URL with ``***`` for the password."""
        return self._hidden(shown_connection(self._url))

    def close(self) -> None:
        """Close the connection; the next query opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # one that is broken already
                connection.close()
            connection.engine.dispose()

    @contextmanager
    def query(self, statement: Any, what: str) -> Iterator[Any]:
        """Send a statement and give its ``sqlalchemy.CursorResult``, whose rows are streamed.

        Raises DatasetError if the database can't be reached, refuses the statement or takes too
        long.
        """
        connection = self._connected()
        began = time.monotonic()
        timer = self._timer(connection)
        result = None
        try:
            result = connection.execution_options(stream_results=True).execute(statement)
            yield result
        except sa.exc.SQLAlchemyError as error:
            late = time.monotonic() - began >= self._timeout
            text = self._explained(error, what, late)
            self.close()
            raise DatasetError(text) from None
        finally:
            timer.cancel()
            if result is not None:
                with suppress(sa.exc.SQLAlchemyError):
                    result.close()
            if self._connection is not None:
                with suppress(sa.exc.SQLAlchemyError):
                    connection.rollback()

    def _timer(self, connection: Any) -> Timer:
        """Start what stops a query of drivers that can be told to from another thread."""
        driver = connection.connection.driver_connection
        stop: Any = getattr(driver, "interrupt", None) or getattr(driver, "cancel", None)
        # PostgreSQL stops by itself, and tells so.
        timed = stop is not None and self._url.get_backend_name() != "postgresql"
        timer = Timer(self._timeout, stop if timed else _nothing)
        timer.daemon = True
        if timed:
            timer.start()
        return timer

    def _connected(self) -> Any:
        if self._connection is not None:
            return self._connection
        backend = self._url.get_backend_name()
        if backend == "sqlite":
            self._check_file()
        try:
            engine = sa.create_engine(self._url, poolclass=sa.pool.NullPool)
            connection = engine.connect()
            for text in _first_statements(backend, self._timeout):
                connection.execute(sa.text(text))
            connection.commit()
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise DatasetError(
                f"connection={self.shown!r}: the database driver is not installed: "
                f"{self._hidden(str(error))}. Install the package of that driver, such as "
                "psycopg[binary] for postgresql+psycopg://."
            ) from None
        except Exception as error:  # noqa: BLE001  (each driver has errors of its own)
            text = self._hidden(" ".join(str(getattr(error, "orig", error)).split())).rstrip(".")
            raise DatasetError(
                f"connection={self.shown!r}: can't connect: {text}. Check host, database, user "
                "and password."
            ) from None
        self._connection = connection
        return connection

    def _check_file(self) -> None:
        """Refuse what SQLite would make anew, and find empty."""
        file = self._url.database
        if not file or file == ":memory:":
            raise DatasetError(
                f"connection={self.shown!r} is a database in the memory of this process, which "
                "script processes don't see. Give one in a file: 'sqlite:////data/rides.db'."
            )
        if not file.startswith("file:") and not Path(file).is_file():
            raise DatasetError(
                f"connection={self.shown!r}: there is no file {file!r}. Give the path of an SQLite "
                "database; an absolute one begins with four slashes: 'sqlite:////data/rides.db'."
            )

    def _explained(self, error: Exception, what: str, late: bool) -> str:
        cause = getattr(error, "orig", None) or error
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if late or state in _CANCELED:
            return (
                f"{what} took longer than query_timeout={self._timeout:g} seconds at "
                f"{self.shown}. Give a longer query_timeout, or an index_column that the database "
                "has an index for."
            )
        text = self._hidden(" ".join(str(cause).split())).rstrip(".")
        return f"{what} failed at {self.shown}: {type(cause).__name__}: {text}. Correct the query."

    def _hidden(self, text: str) -> str:
        asked = self._url.query
        values = [asked[name] for name in asked if _SECRET.search(name)]
        secrets = [str(self._url.password or "")]
        secrets += [
            text for value in values for text in ([value] if isinstance(value, str) else value)
        ]
        for secret in secrets:
            for written in {secret, quote(secret), quote_plus(secret)} - {""}:
                text = text.replace(written, "***")
        return text


def _nothing() -> None:
    """Stop nothing."""


def _first_statements(backend: str, timeout: float) -> list[str]:
    """Return what makes a connection read only, and limits its queries, where that can be said."""
    milliseconds = max(1, int(timeout * 1000))
    return {
        "postgresql": [
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            f"SET statement_timeout = {milliseconds}",
        ],
        "sqlite": ["PRAGMA query_only = ON"],
        "mysql": [
            "SET SESSION TRANSACTION READ ONLY",
            f"SET SESSION MAX_EXECUTION_TIME = {milliseconds}",
        ],
        "mariadb": [
            "SET SESSION TRANSACTION READ ONLY",
            f"SET SESSION max_statement_time = {timeout:g}",
        ],
    }.get(backend, [])
