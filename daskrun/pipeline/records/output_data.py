"""``OutputData``: an output of a step's run, and what is in it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskrun.core.json_text import parsed
from daskrun.core.report import RunStatus
from daskrun.core.typing import override
from daskrun.errors import DaskrunError, StorageError
from daskrun.output.sinks.settings_file import TO_CSV
from daskrun.pipeline.steps.outputs import PortDataReference
from daskrun.storage.durable import open_regular, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from daskrun.workspace.datastores.datastore import Datastore
    from daskrun.workspace.run_folders.run_folder import RunFolder

FAILED = "logs/failed_items.jsonl"
COLUMNS = ("item", "reason", "attempts", "mini_batch", "where")
READ_TEXT = ("sep", "quotechar", "escapechar", "decimal", "quoting", "doublequote")
"""Keywords of ``to_csv`` that ``read_csv`` has too."""


class OutputData(PortDataReference):
    """An output of a step's run."""

    def __init__(
        self, name: str, datastore: Datastore, path_on_datastore: str, status: str, run: RunFolder
    ) -> None:
        super().__init__(name, datastore, path_on_datastore, status)
        self._run = run
        outputs = run.manifest().outputs
        result = bool(outputs) and outputs[0].name == name
        self._file = run.manifest().output_file if result else ""

    @property
    def path(self) -> str:
        """Path or URL: of the file that ``append_row`` writes, else of the folder."""
        return self.datastore.url(self._file_on_datastore)

    @property
    def _file_on_datastore(self) -> str:
        return "/".join(part for part in (self.path_on_datastore, self._file) if part)

    @property
    @override
    def _copied(self) -> str:
        """Return the folder where it was made for the run; one of the user's has other files."""
        made_for = {self._run.id, (self._run.reuse() or {}).get("run_id")}
        own = not made_for.isdisjoint(self.path_on_datastore.split("/"))
        return self.path_on_datastore if own else self._file_on_datastore

    def to_pandas_dataframe(self, **read_csv: Any) -> pd.DataFrame:
        """Return the rows of the one file that ``append_row`` writes.

        Of CSV, JSON lines and Parquet the columns; a file of text has one, ``result``, with each
        line, unless ``parallel_run_step.settings.json`` said that there is a header.

        Parameters
        ----------
        read_csv
            Keywords of ``pandas.read_csv``, for a file of text that holds columns all the same:
            ``sep=" ", header=None`` for that of DataFrames.

        Raises
        ------
        StorageError
            The run is not Completed, or the file is gone.
        DaskrunError
            The script wrote its own files, or a sink of yours this one.

        Examples
        --------
        >>> run.outputs["counts"].to_pandas_dataframe()  # doctest: +SKIP
        """
        kind = self._kind()
        if self._status != RunStatus.COMPLETED:
            raise StorageError(
                f"output {self.name!r} is not there: the run is {self._status}. Write "
                "run.wait_for_completion() before, or run.resume() where it has failed."
            )
        with tempfile.TemporaryDirectory(prefix="daskrun-output-") as folder:
            file = Path(self.path)
            if not self.datastore.is_local:
                self.download(folder, flat=True)
                file = Path(folder, self._file)
            if not file.is_file():
                raise StorageError(f"output {self.name!r}: {self.path} is gone.")
            rows: pd.DataFrame = self._read(file, kind, read_csv)
            return rows

    def failed_items(self) -> pd.DataFrame:
        """Return a row for each item that failed: ``item``, ``reason``, ``attempts`` and more.

        Those are the items of mini-batches that have used up their tries, and those that ``run()``
        returned :class:`daskrun.Failed` for. Which items it returned nothing for, the script alone
        knows.
        """
        return failed_items(self._run)

    def _settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._run.manifest().values.get("settings") or {}
        return found

    def _kind(self) -> str:
        """Return the format of the file."""
        if not self._file:
            raise DaskrunError(
                f"output {self.name!r} is no file of rows: the script writes its own files, to "
                f"{self.path}. Read those there, or Dataset.Tabular.from_...({self.path!r})."
            )
        kind = str(self._settings().get("append_row_format") or "text")
        if kind not in ("text", "csv", "jsonl", "parquet"):
            raise DaskrunError(
                f"append_row_format={kind!r} has made {self.path}, and only its author knows what "
                "is in it. Read that file."
            )
        return kind

    def _read(self, file: Path, kind: str, options: Mapping[str, Any]) -> Any:
        import pandas as pd

        if kind == "parquet":
            return pd.read_parquet(file)
        if not file.stat().st_size:
            return pd.DataFrame()
        if kind == "jsonl":
            with io.TextIOWrapper(open_regular(file), "utf-8", newline="\n") as lines:
                values = [parsed(line) for line in lines]
            rows = all(isinstance(each, dict) for each in values)
            return pd.DataFrame(values if rows else {"result": values})
        # Only what is empty is missing: NA is text.
        plain = {"keep_default_na": False, "na_values": [""], **options}
        if kind == "csv":
            return pd.read_csv(file, **plain)
        said = (self._settings().get("append_row_settings") or {}).get(TO_CSV, {})
        if not options and said.get("header") not in (None, False):
            found = {name: said[name] for name in said if name in READ_TEXT}
            return pd.read_csv(file, **{"sep": " ", **found, **plain})
        if options:
            return pd.read_csv(file, **plain)
        with io.TextIOWrapper(open_regular(file), "utf-8", newline="\n") as lines:
            return pd.DataFrame({"result": [line.removesuffix("\n") for line in lines]})


def failed_items(run: RunFolder) -> pd.DataFrame:
    """Return a row for each item that has failed in a step's run, or in the one that it uses."""
    import pandas as pd  # 0.3 s, and most runs are not asked

    reuse = run.reuse() or {}
    if reuse.get("run_id") is not None:  # its output is that run's
        run = run.sibling(reuse["run_id"])
    run.fetch(FAILED)
    rows = []
    if (run.path / FAILED).exists():
        lines = read_file(run.path / FAILED).decode().splitlines()
        rows = [parsed(line) for line in lines]
    return pd.DataFrame(rows, columns=list(COLUMNS))
