"""How a datastore's options are kept: what is secret apart from what anybody may read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daskrun.errors import SettingsError
from daskrun.storage.urls import protocols_of, shown_url

if TYPE_CHECKING:
    from daskrun.core.codec import JsonObject
    from daskrun.storage.private import SecretStore
    from daskrun.storage.urls import StorageOptions

OPEN = frozenset({"account_name", "anon", "endpoint_url"})
"""Options that say where a place is, not who may enter; they are kept in the record itself."""
VARIABLE = "environment_variable"
SAFE = "DASKRUN_SAFE_VARIABLES"
"""Environment variable: names of others, with ``:`` between them, that any record may ask for;
``*`` for all."""
_USUAL = {
    ("s3", "key"): "AWS_ACCESS_KEY_ID",
    ("s3", "secret"): "AWS_SECRET_ACCESS_KEY",
    ("s3", "token"): "AWS_SESSION_TOKEN",
    ("abfs", "account_key"): "AZURE_STORAGE_ACCOUNT_KEY",
    ("abfs", "sas_token"): "AZURE_STORAGE_SAS_TOKEN",
}
"""Variables that a store's own client would take for an option of its URLs. Those of S3 sign
requests, those of Azure go to Azure."""
_WRITES = frozenset({"cache_storage", "fo", "local_file", "target_options", "target_protocol"})
"""Options that make a file system read or write files of this machine."""
_SENDS = {"gs": "endpoint_url", "gcs": "endpoint_url", "abfs": "account_host", "az": "account_host"}
"""Options that say who is sent the token that this user's own login gives."""
_made: list[JsonObject] = []
"""Records that this process has made itself: the user has named their variables."""


@dataclass(frozen=True)
class EnvironmentVariable:
    """The name of an environment variable that holds a secret, given instead of the secret.

    It is looked up in the process that submits, each time the datastore is used; the workspace
    keeps the name alone.

    Examples
    --------
    >>> import tempfile
    >>> from daskrun import Datastore, Workspace
    >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
    >>> store = Datastore.register_azure_blob_container(
    ...     ws, "blob", "container", "account", account_key=EnvironmentVariable("BLOB_KEY")
    ... )
    >>> os.environ["BLOB_KEY"] = "abc"
    >>> store.storage_options["account_key"]
    'abc'
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "=" in self.name:
            problem = f"name={self.name!r} is not a variable's. Write name='BLOB_KEY'."
            raise SettingsError("EnvironmentVariable", [problem])


class KeptOptions:
    """Root and fsspec options of a datastore, as its record says where to find them.

    ``name``: the datastore's, for messages. ``record``: from :func:`keep`, or of an older daskrun,
    which kept all options in it. ``files``: the workspace's. ``foreign``: why other users may have
    written the record, ``""`` where they can't have.
    """

    def __init__(
        self, name: str, record: JsonObject, files: SecretStore, foreign: str = ""
    ) -> None:
        self.shown_root = shown_url(str(record["root"]))
        self._name = name
        self._record = record
        self._files = files
        self._foreign = foreign
        self._secret: JsonObject | None = None if "private" in record else {}

    @property
    def root(self) -> str:
        """Folder or URL."""
        if self._record.get("root_is_secret"):
            return str(self._private()["root"])
        return str(self._record["root"])

    @property
    def options(self) -> StorageOptions:
        """What fsspec needs.

        Raises SettingsError where an environment variable is not set; or another user may have
        written the record, and it asks for what only this user may give away; StorageError where
        the file with the secrets can't be read.
        """
        given = {
            **self._record.get("storage_options", {}),
            **self._private().get("storage_options", {}),
        }
        if self._foreign and self._record not in _made:
            self._check_asked(given)
        missing: list[str] = []
        found = {name: _filled_in(value, missing) for name, value in given.items()}
        if missing:
            raise SettingsError(
                f"datastore {self._name!r}",
                [
                    f"the environment variable {name} is not set in this process. Set it to the "
                    "secret before the datastore is used."
                    for name in dict.fromkeys(missing)
                ],
            )
        return found

    def _check_asked(self, given: StorageOptions) -> None:
        """Refuse what would send this user's secrets, or write files, where another may want it."""
        safe = set(os.environ.get(SAFE, "").split(os.pathsep))
        protocols = protocols_of(self.root)
        problems = []
        for option, value in given.items():
            usual = {_USUAL.get((each.replace("az", "abfs"), option)) for each in protocols}
            asked = _variables(value) - safe - usual if "*" not in safe else set()
            problems += [
                f"its record asks for the environment variable {name}, and {self._foreign}: who "
                f"wrote it would learn the value at {self.shown_root!r}. Where that is meant, set "
                f"{SAFE}={name}."
                for name in sorted(asked)
            ]
        sends = {_SENDS[each] for each in protocols if each in _SENDS}
        problems += [
            f"its record has the option {name!r}, by which files of this machine are written or "
            f"read, or credentials sent elsewhere, and {self._foreign}. Register the datastore in "
            "a workspace of your own."
            for name in sorted(_names(given) & (_WRITES | sends))
        ]
        if problems:
            raise SettingsError(f"datastore {self._name!r}", problems)

    def _private(self) -> JsonObject:
        if self._secret is None:
            self._secret = self._files.read(self._record["private"])
        return self._secret


def keep(root: str, options: StorageOptions, files: SecretStore) -> JsonObject:
    """Put what may be secret into a private file, and give the record of a datastore.

    Raises SettingsError where an option is not a value that can be kept; StorageError where the
    file can't be written.
    """
    problems: list[str] = []
    kept = {name: _plain(name, value, problems) for name, value in options.items()}
    if problems:
        raise SettingsError("datastore", problems)
    closed = {
        name: kept.pop(name)
        for name, value in options.items()
        if not _is_open(name, value) and not isinstance(value, EnvironmentVariable)
    }
    record: JsonObject = {"root": shown_url(root), "storage_options": kept}
    secret: JsonObject = {"storage_options": closed} if closed else {}
    if shown_url(root) != root:
        secret["root"], record["root_is_secret"] = root, True
    if secret:
        record["private"] = files.keep(secret)
    _made.append(record)
    return record


def _is_open(name: str, value: Any) -> bool:
    text = value if isinstance(value, str) else ""
    return name in OPEN and shown_url(text) == text and "@" not in text  # me:password@host


def _plain(name: str, value: Any, problems: list[str]) -> Any:
    """Return an option as JSON."""
    if isinstance(value, EnvironmentVariable):
        return {VARIABLE: value.name}
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", each, problems) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each, problems) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    problems.append(
        f"storage_options: {name} is of type {type(value).__name__}, which can't be kept. Write "
        "texts, numbers, True, False, None, and lists and dicts of them."
    )
    return None


def _variables(value: Any) -> set[str]:
    """Return the environment variables that an option, as it is kept, asks for."""
    if isinstance(value, list):
        return set().union(*map(_variables, value))
    if not isinstance(value, dict):
        return set()
    own = {str(value[VARIABLE])} if value.keys() == {VARIABLE} else set()
    return own.union(*map(_variables, value.values()))


def _names(options: Any) -> set[str]:
    """Return the names of options, also of those that are for a link of a chained URL."""
    if not isinstance(options, Mapping):
        return set()
    return {*map(str, options)}.union(*map(_names, options.values()))


def _filled_in(value: Any, missing: list[str]) -> Any:
    """Put the values of environment variables in, and note those that are not set."""
    if isinstance(value, list):
        return [_filled_in(each, missing) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {VARIABLE}:
        name = str(value[VARIABLE])
        if name not in os.environ:
            missing.append(name)
        return os.environ.get(name)
    return {key: _filled_in(each, missing) for key, each in value.items()}
