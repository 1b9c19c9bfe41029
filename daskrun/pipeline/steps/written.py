"""What a step writes, as datasets that can be read, and registered, once it has run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from daskrun.core.codec import record
from daskrun.core.tags import tag_problems
from daskrun.core.typing import override
from daskrun.data.dataset_codec import places_of
from daskrun.data.file_dataset import FileDataset
from daskrun.data.items import DatasetConsumptionConfig, Items
from daskrun.data.tabular.tabular_dataset import TabularDataset
from daskrun.errors import DatasetError, SettingsError
from daskrun.storage.records import wrong_name


@record
@dataclass(frozen=True)
class Registration:
    """Under which name an output becomes a registered dataset when its step has completed."""

    name: str
    description: str | None = None
    tags: Mapping[str, str] | None = None


def registration(name: Any, description: Any = None, tags: Any = None) -> Registration:
    """Return a registration; SettingsError is raised, hours before it is made, where it can't be.

    ``name`` is the dataset's.
    """
    problems = tag_problems("tags", tags)
    if not isinstance(name, str) or not name.strip():
        problems.append(f"name={name!r} is not a name. Write name='night_scores'.")
    elif wrong := wrong_name(name):
        problems.append(f"name={name!r} {wrong}")
    if not isinstance(description, str | None):
        problems.append(f"description={description!r} is not a text. Write one, or None.")
    if problems:
        raise SettingsError("register_on_complete", problems)
    return Registration(name, description, tags)


class Written(Items):
    """What files and rows that a step writes have in common."""

    def as_input(self, name: str | None = None) -> DatasetConsumptionConfig:
        """Return it as an input of a later step, under a name."""
        return DatasetConsumptionConfig(name, self)

    def register_on_complete(
        self, name: str, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Self:
        """Register it as a dataset when the step that writes it has completed.

        Each run that completes makes a new version.
        """
        noted = registration(name, description, tags)
        (place,) = places_of(self)
        place.output.link.registered[name] = (noted, self)  # type: ignore[attr-defined]
        return self

    def register(
        self,
        workspace: Any = None,
        name: str = "",
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        create_new_version: bool = False,
    ) -> Self:
        """Register it as other datasets are, or, without a workspace, when it is written."""
        if workspace is None or isinstance(workspace, str):
            return self.register_on_complete(workspace or name, description, tags)
        return super().register(workspace, name, description, tags, create_new_version)


class ReadAsRows:
    """Files that a step writes, of which the rows can be read."""

    def read_delimited_files(self, **options: Any) -> WrittenTable:
        """Return the rows of the delimited files that the step writes.

        Parameters
        ----------
        options
            As of ``Dataset.Tabular.from_delimited_files``; ``path_glob`` says which of the files,
            such as ``'*.csv'``.

        Examples
        --------
        >>> from daskrun import PipelineData
        >>> PipelineData("scores").read_delimited_files(separator=" ", header=False).kind
        'tabular'
        """
        return self._rows("delimited", options)

    def read_json_lines_files(self, **options: Any) -> WrittenTable:
        """Return the rows of the JSON lines files that the step writes.

        ``options`` are as of ``Dataset.Tabular.from_json_lines_files``, and ``path_glob``.
        """
        return self._rows("json_lines", options)

    def read_parquet_files(self, **options: Any) -> WrittenTable:
        """Return the rows of the Parquet files that the step writes.

        ``options`` are as of ``Dataset.Tabular.from_parquet_files``, and ``path_glob``.
        """
        return self._rows("parquet", options)

    parse_delimited_files = read_delimited_files
    parse_parquet_files = read_parquet_files

    @abstractmethod
    def _rows(self, form: str, options: Mapping[str, Any]) -> WrittenTable:
        """Return the rows of files of a form."""


@dataclass(frozen=True, eq=False, repr=False)
class WrittenFiles(ReadAsRows, Written, FileDataset):
    """Files that a step writes."""

    @override
    def _rows(self, form: str, options: Mapping[str, Any]) -> WrittenTable:
        if self.selections:
            how = f"read_{form}_files"
            raise DatasetError(
                f"{self!r} is a choice of files, and {how} reads all of them. Write output.{how}("
                "path_glob='*.csv'), or a step of its own that passes on what is chosen."
            )
        (place,) = places_of(self)
        rows: WrittenTable = place.output._rows(form, options)  # type: ignore[attr-defined]
        return rows


@dataclass(frozen=True, eq=False, repr=False)
class WrittenTable(Written, TabularDataset):
    """Rows of files that a step writes."""
