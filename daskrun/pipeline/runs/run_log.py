"""What can be logged to a run, and read again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import OriginalClass, original_keywords
from daskrun.errors import SettingsError
from daskrun.pipeline.runs.loggable import check_name, checked, image, many, shown
from daskrun.storage import metric_files as metrics

if TYPE_CHECKING:
    from collections.abc import Sequence


class RunLog(OriginalClass, ABC):
    """Metrics and tags of a run: any number of threads and processes may log to one at once.

    What was logged is on the disk when the method returns: it stays when the process is killed,
    and when the mini-batch fails or is tried again.
    """

    id: str
    """Unique; ids sort by the time of submission."""

    @original_keywords
    def log(self, name: str, value: Any, description: str = "") -> None:
        """Log a number, text or flag; more of one name make a list.

        Parameters
        ----------
        name
            Of the metric.
        value
            numpy's and other arrays of one element count as that.
        description
            Kept with it in the run's folder.

        Raises
        ------
        SettingsError
            That is no such value.
        StorageError
            The run's folder can't be written.
        """
        value = checked("log", name, value, "write log(name, 0.95), log_list() for many")
        self._add(metrics.VALUE, name, value, description)

    def log_list(self, name: str, value: Sequence[Any], description: str = "") -> None:
        """Log values, in their order; more of one name make one list.

        See :meth:`log` for what is raised.
        """
        values = many("log_list", name, "value", value)
        self._add(metrics.LIST, name, values, description)

    def log_row(self, name: str, description: str = "", **columns: Any) -> None:
        """Log a row, a keyword for each column; more of one name make a table.

        See :meth:`log` for what is raised.
        """
        if not columns:
            raise SettingsError("log_row", [f"{name!r} has no column. Write log_row(name, x=1)."])
        hint = "write one value for each column"
        row = {key: checked("log_row", key, value, hint) for key, value in columns.items()}
        check_name("log_row", name)
        self._add(metrics.ROW, name, row, description)

    def log_table(
        self, name: str, value: Mapping[str, Sequence[Any]], description: str = ""
    ) -> None:
        """Log a table, ``{column: values}``; more of one name are put below each other.

        See :meth:`log` for what is raised.
        """
        example = "Write log_table(name, {'x': [1, 2], 'y': [0.6, 0.7]})."
        if not isinstance(value, Mapping) or not value:
            raise SettingsError("log_table", [f"value={shown(value)} has no columns. {example}"])
        table = {
            str(column): many("log_table", name, str(column), values)
            for column, values in value.items()
        }
        if len({len(values) for values in table.values()}) > 1:
            lengths = ", ".join(f"{column!r} has {len(v)}" for column, v in table.items())
            problem = f"the columns of {name!r} differ in length: {lengths}. {example}"
            raise SettingsError("log_table", [problem])
        self._add(metrics.TABLE, name, table, description)

    def log_image(
        self, name: str, path: Any = None, plot: Any = None, description: str = ""
    ) -> None:
        """Log an image: a file, which is copied, or a plot of matplotlib.

        See :meth:`log` for what else is raised.

        Raises
        ------
        SettingsError
            There isn't one of them, or it can't be read.
        """
        check_name("log_image", name)
        data, ending = image(path, plot)
        self._add_image(name, data, ending, description)

    def tag(self, key: str, value: str | None = None) -> None:
        """Set a tag; one of that name is replaced."""
        check_name("tag", key)
        self._add(metrics.TAG, key, None if value is None else str(value), "")

    def set_tags(self, tags: Mapping[str, str | None]) -> None:
        """Set tags, each as :meth:`tag` does."""
        for key, value in tags.items():
            self.tag(key, value)

    @original_keywords
    def get_metrics(self, name: str | None = None, recursive: bool = False) -> dict[str, Any]:
        """Return what was logged so far, also while the run goes on.

        What was logged once is its value, an image the path of its file; more are a list in the
        order of time. A row is ``{column: value}``; more rows, and tables, are
        ``{column: values}``.

        Parameters
        ----------
        name
            Of one metric; None: all there are.
        recursive
            Give ``{run id: {name: metric}}``, of this run and the steps it has.

        Raises
        ------
        StorageError
            The run's folder can't be read.

        Examples
        --------
        >>> run = PipelineRun(...)  # doctest: +SKIP
        >>> run.find_step_run("score")[0].get_metrics("rows")  # doctest: +SKIP
        {'rows': [120, 80]}
        """
        if not recursive:
            return self._metrics_of(self.id, name)
        return {run_id: self._metrics_of(run_id, name) for run_id in self._ids_below()}

    def get_tags(self) -> dict[str, str]:
        """Return the tags that were set so far."""
        return metrics.tags(self._records(self.id))

    @property
    def tags(self) -> dict[str, str]:
        """The tags that were set so far."""
        return self.get_tags()

    def _metrics_of(self, run_id: str, name: str | None) -> dict[str, Any]:
        found = metrics.folded(self._records(run_id))
        return found if name is None else {key: found[key] for key in (name,) if key in found}

    @abstractmethod
    def _add(self, kind: str, name: str, value: Any, description: str) -> None:
        """Take in what was logged."""

    @abstractmethod
    def _add_image(self, name: str, image: bytes, ending: str, description: str) -> None:
        """Take in an image."""

    @abstractmethod
    def _records(self, run_id: str) -> list[metrics.Record]:
        """Return what was logged to this run or one below it."""

    @abstractmethod
    def _ids_below(self) -> list[str]:
        """Return the ids of this run and its steps."""
