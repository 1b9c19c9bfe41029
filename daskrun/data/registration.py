"""Datasets under a name: registered in a workspace in versions, and found there again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from daskrun.core.absent_names import OriginalClass
from daskrun.core.tags import tag_problems
from daskrun.data.dataset_codec import NameOf, registered_name, to_plain
from daskrun.data.protocols import DataPath, OnePath, Place, Registry, as_elements, shown_url
from daskrun.errors import DatasetError, NameNotFoundError, SettingsError, StorageError
from daskrun.storage.urls import is_url

KIND = "datasets"
LATEST = "latest"
"""What stands for the newest version."""


@dataclass(frozen=True)
class Registration:
    """What a workspace knows of a dataset beside its data."""

    registry: Registry
    name: str
    version: int
    description: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class Registered(OriginalClass):
    """The part of a dataset that is about its name in a workspace.

    What is made from a registered dataset, such as ``dataset.take(3)``, is another dataset and has
    no name.
    """

    # Not given to the constructor, so that dataclasses.replace() makes an unregistered dataset.
    registration: Registration | None = field(default=None, init=False)
    """None: it is not registered."""

    @property
    def name(self) -> str | None:
        """The name it is registered under; None if it isn't."""
        return self.registration.name if self.registration else None

    @property
    def version(self) -> int | None:
        """Its version under that name."""
        return self.registration.version if self.registration else None

    @property
    def id(self) -> str | None:
        """Name and version, such as ``images:1``."""
        return f"{self.name}:{self.version}" if self.registration else None

    @property
    def description(self) -> str | None:
        """What :meth:`register` was told."""
        return self.registration.description if self.registration else None

    @property
    def tags(self) -> dict[str, str]:
        """What :meth:`register` was told; empty where it isn't registered."""
        return dict(self.registration.tags) if self.registration else {}

    def register(
        self,
        workspace: Registry,
        name: str,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        create_new_version: bool = False,
    ) -> Self:
        """Keep the dataset's definition in a workspace under a name; its data stays where it is.

        Parameters
        ----------
        workspace
            Where.
        name
            Another process finds it by that: ``Dataset.get_by_name(workspace, name)``.
        description
            Any text.
        tags
            Texts by name.
        create_new_version
            Whether it becomes the next version where the name is taken. False: it is an error,
            unless the newest version is the same dataset, which is then given.

        Returns
        -------
        dataset
            The same, with its name and version.

        Raises
        ------
        SettingsError
            With every problem of the arguments; also where the name is taken.
        DatasetError
            It is a dataframe, or in what only this process knows.

        Examples
        --------
        >>> import tempfile
        >>> from daskrun import Dataset, Workspace
        >>> ws = Workspace.create("trial", path=tempfile.mkdtemp())
        >>> images = Dataset.File.from_files("images/*.png", validate=False)
        >>> images.register(ws, "images", tags={"source": "camera"}).id
        'images:1'
        >>> Dataset.get_by_name(ws, "images")
        Dataset.File.from_files('images/*.png')
        """
        _check(workspace, name, description, tags, create_new_version)
        plain = to_plain(self, _reference_in(workspace))
        asked = {"tags": dict(tags or {}), "description": description}
        number = None if create_new_version else _newest_if_same(workspace, name, plain, asked)
        if number is None:
            number = _keep(workspace, name, plain, asked, first=not create_new_version)
        registration = Registration(workspace, name, number, description, tags or {})
        return cast("Self", named(replace(self), registration))

    def unregister_all_versions(self) -> None:
        """Remove every version of its name from the workspace; the data stays.

        Runs that use it are not disturbed: they have a definition of their own. Raises DatasetError
        where it isn't registered.
        """
        if self.registration is None:
            raise DatasetError(
                f"{self!r} is not registered, so there is nothing to unregister. Get it with "
                "Dataset.get_by_name(ws, name)."
            )
        registry, name = self.registration.registry, self.registration.name
        files = registry.records.values_of(KIND, [name], "private")
        registry.records.delete(KIND, name)
        for file in files:
            registry.private.remove(file)


def register_once(
    dataset: Registered,
    workspace: Registry,
    name: str,
    owner: str,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Keep a dataset as the next version of a name, or find the version it was kept as before.

    Parameters
    ----------
    dataset
        What is kept.
    workspace, name, description, tags
        As those of :meth:`Registered.register`.
    owner
        Who keeps it: one that is killed and begins again keeps the same dataset once.

    Returns
    -------
    int
        The version.
    """
    _check(workspace, name, description, tags, True)
    plain = to_plain(dataset, _reference_in(workspace))
    for number in reversed(workspace.records.numbers(KIND, name)):
        with suppress(NameNotFoundError):  # unregistered meanwhile
            record = workspace.records.get(KIND, name, number)
            if record.get("owner") == owner and definition_of(workspace, record) == plain:
                return number
    asked = {"tags": dict(tags or {}), "description": description, "owner": owner}
    return _keep(workspace, name, plain, asked, first=False)


def registry_of(name: str, target: OnePath) -> Registry:
    """Return the workspace of the datastore that a new dataset is written to.

    Raises DatasetError where it is written elsewhere.
    """
    (element,) = as_elements([target])
    registry = getattr(element.place, "workspace", None) if isinstance(element, DataPath) else None
    if not isinstance(registry, Registry):
        raise DatasetError(
            f"name={name!r}: target={target!r} is in no datastore, whose workspace the dataset "
            "would be registered in. Write target=(datastore, 'folder'), or leave name out and "
            "call register(ws, name) of the dataset that is returned."
        )
    return registry


def named(dataset: Any, registration: Registration) -> Any:
    """Return a new dataset the name that it has in a workspace."""
    object.__setattr__(dataset, "registration", registration)  # a new one that nobody has seen
    return dataset


def definition_of(workspace: Registry, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain form of a registered dataset, also of one that is kept as a secret."""
    if "private" in record:
        return workspace.private.read(record["private"])
    return dict(record["definition"])


def _newest_if_same(
    workspace: Registry, name: str, plain: dict[str, Any], asked: dict[str, Any]
) -> int | None:
    """Return the newest version if it is the same dataset, None where there is no version.

    Raises SettingsError where it is another one.
    """
    found = workspace.records.latest(KIND, name)
    if found is None:
        return None
    number, record = found
    same = all(record[key] == value for key, value in asked.items())
    if same and definition_of(workspace, record) == plain:
        return number
    problem = (
        f"name={name!r} is taken by another dataset, of version {number}. Pass "
        "create_new_version=True to register this as the next version, or write another name."
    )
    raise SettingsError("register", [problem])


def _keep(
    workspace: Registry, name: str, plain: dict[str, Any], asked: dict[str, Any], *, first: bool
) -> int:
    """Write the record, with ``first`` as version 1 or not at all; what is secret goes aside."""
    value: dict[str, Any] = {**asked, "created": time.time()}
    files = workspace.private
    if has_secret(plain):
        workspace.sweep_private()
        value["private"] = files.keep(plain)
    else:
        value["definition"] = plain
    try:
        return workspace.records.create(KIND, name, value, 1 if first else None)
    except StorageError:
        files.remove(str(value.get("private", "")))
        # Another process may have registered one in this moment.
        same = _newest_if_same(workspace, name, plain, asked) if first else None
        if same is None:
            raise
        return same


def _reference_in(workspace: Registry) -> NameOf:
    def reference(place: Place) -> Any:
        registered_name(place)  # refuses one that only this process knows
        return workspace.reference_to(place)

    return reference


def workspace_problems(workspace: object) -> list[str]:
    """Return what is wrong with an argument that should be a workspace."""
    if isinstance(workspace, Registry):
        return []
    return [f"workspace={workspace!r} is not a Workspace. Write Workspace.from_config()."]


def _check(
    workspace: object, name: object, description: object, tags: object, create_new_version: object
) -> None:
    problems = [*workspace_problems(workspace), *tag_problems("tags", tags)]
    if not isinstance(name, str):
        problems.append(f"name={name!r} is not a name. Write name='images'.")
    if description is not None and not isinstance(description, str):
        problems.append(f"description={description!r} is not a text. Write one, or None.")
    if not isinstance(create_new_version, bool):
        problems.append(f"create_new_version={create_new_version!r}: write True or False.")
    if problems:
        raise SettingsError("register", problems)


def has_secret(plain: Any) -> bool:
    """Return whether a URL among JSON values may hold a password or token."""
    if isinstance(plain, str):
        return shown_url(plain) != plain or (is_url(plain) and "?" in plain)
    values = plain.values() if isinstance(plain, dict) else plain
    return isinstance(plain, dict | list) and any(has_secret(each) for each in values)
