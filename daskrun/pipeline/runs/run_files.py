"""Files that belong to a run: those it was given, and its logs."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from daskrun.core.absent_names import original_keywords
from daskrun.errors import NameNotFoundError, SettingsError, StorageError
from daskrun.pipeline.runs.run_log import RunLog
from daskrun.storage.durable import write_whole
from daskrun.storage.folders import is_writable, make_folder
from daskrun.storage.pseudo_files import is_data

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from daskrun.workspace.models.model import Model
    from daskrun.workspace.workspace import Workspace


class RunFiles(RunLog):
    """Files of a run: any process may give it some; a script step's ``outputs`` are among them."""

    _is_here = False
    """Whether it is the run of this process, whose working directory may have its models."""

    @original_keywords
    def upload_file(self, name: str, path_or_stream: Any) -> None:
        """Keep a copy of a file with the run.

        Parameters
        ----------
        name
            Its path among the run's files, such as ``outputs/model.pkl``.
        path_or_stream
            The file's path, or what is open and can be read.

        Raises
        ------
        SettingsError
            There is no such file, or the name leads out of the run's files.
        StorageError
            It can't be kept.
        """
        self._keep_file(name, path_or_stream)

    def _keep_file(self, name: str, path_or_stream: Any, mode: int = 0o664) -> None:
        """Keep a copy of a file, which may be read by those that ``mode`` says."""
        target = self._file_folder / _checked("upload_file", name)
        try:
            read = getattr(path_or_stream, "read", None)
            data = read() if read is not None else Path(path_or_stream).read_bytes()
        except (OSError, TypeError, UnicodeEncodeError) as error:
            problem = (
                f"path_or_stream={path_or_stream!r} can't be read: {error}. Write a file's path"
            )
            raise SettingsError("upload_file", [f"{problem}, or what open() gave."]) from error
        try:
            make_folder(target.parent)
            write_whole(target, data.encode() if isinstance(data, str) else data, mode)
        except OSError as error:
            raise StorageError(f"can't keep {name!r} with run {self.id}: {error}") from error
        self._push_files()

    @original_keywords
    def upload_files(self, names: Sequence[str], paths: Sequence[str | os.PathLike[str]]) -> None:
        """Keep copies of files with the run; see :meth:`upload_file`."""
        if len(names) != len(paths):
            problem = f"names has {len(names)} and paths {len(paths)}. Write as many of both."
            raise SettingsError("upload_files", [problem])
        for name, path in zip(names, paths, strict=True):
            self.upload_file(name, path)

    @original_keywords
    def upload_folder(self, name: str, path: str | os.PathLike[str]) -> None:
        """Keep copies of all files of a folder with the run, below a name."""
        folder = Path(path)
        if not folder.is_dir():
            problem = f"path={str(path)!r} is no folder. Write the path of one."
            raise SettingsError("upload_folder", [problem])
        for file in sorted(each for each in folder.rglob("*") if is_data(each)):
            self.upload_file(f"{name}/{file.relative_to(folder).as_posix()}", file)

    def get_file_names(self) -> list[str]:
        """Return the names of the run's files, its logs among them."""
        return sorted(self._files())

    @original_keywords
    def download_file(self, name: str, output_file_path: str | os.PathLike[str] = ".") -> None:
        """Copy a file of the run.

        Parameters
        ----------
        name
            As :meth:`get_file_names` has it.
        output_file_path
            The copy, or the folder it is put into.

        Raises
        ------
        NameNotFoundError
            The run has no such file.
        StorageError
            It can't be copied.
        """
        files = self._files()
        if name not in files:
            raise NameNotFoundError("file of the run", name, sorted(files))
        target = Path(output_file_path)
        into = target.is_dir() or str(output_file_path).endswith("/")
        _copy(files[name], target / Path(name).name if into else target)

    @original_keywords
    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | os.PathLike[str] = ".",
        output_paths: Sequence[str | os.PathLike[str]] | None = None,
        *,
        append_prefix: bool = True,
    ) -> None:
        """Copy the run's files, or those whose names begin with a prefix, into a folder.

        Parameters
        ----------
        prefix
            Such as ``outputs/``; None: all files.
        output_directory
            Made where it isn't there.
        output_paths
            Names that the copies have in it, of each file one, in the order of the names.
        append_prefix
            Whether the copies lie below the prefix too.
        """
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        if output_paths is not None and len(output_paths) != len(names):
            problem = f"output_paths has {len(output_paths)}, and there are {len(names)} files"
            raise SettingsError("download_files", [f"{problem}: {names}. Write as many."])
        files = self._files()
        for number, name in enumerate(names):
            below = name if append_prefix else name[len(prefix or "") :].lstrip("/")
            place = output_paths[number] if output_paths is not None else below
            _copy(files[name], Path(output_directory, place or Path(name).name))

    @original_keywords
    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> Model:
        """Register files of the run as a model.

        Parameters
        ----------
        model_name
            The model's.
        model_path
            A file, or a folder, among the run's files; in a script also one of the script's
            working directory. None: what has the model's name.
        tags, properties, description
            As those of :meth:`Model.register`; the property ``run`` is the run's id.

        Raises
        ------
        NameNotFoundError
            There is none.
        """
        from daskrun.workspace.models.model import Model  # 12 files that most scripts do without

        wanted = model_name if model_path is None else model_path
        kept = self._file_folder / _checked("register_model", wanted, may_be_absolute=True)
        beside = (Path(wanted),) if self._is_here else ()
        found = next((each for each in (kept, *beside) if each.exists()), None)
        if found is None:
            raise NameNotFoundError("file of the run", wanted, self.get_file_names())
        given = {"run": self.id, **(properties or {})}
        return Model.register(self._registry, found, model_name, tags, description, given)

    def _files(self) -> dict[str, Path]:
        """Return the run's files by name."""
        return _below(self._file_folder)

    @property
    @abstractmethod
    def _file_folder(self) -> Path:
        """Where files that the run was given are."""

    @property
    @abstractmethod
    def _registry(self) -> Workspace:
        """Where models are registered."""

    def _push_files(self) -> None:
        """Have others see what was kept."""


def _below(folder: Path) -> dict[str, Path]:
    paths = (path for path in folder.rglob("*") if is_data(path))
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _checked(call: str, name: object, *, may_be_absolute: bool = False) -> str:
    """Return the name of a file of a run; SettingsError where it leads out of these."""
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
    leads_out = (
        ".." in path.parts or "\0" in str(name) or (path.is_absolute() and not may_be_absolute)
    )
    if not path.parts or leads_out or not is_writable(path):
        problem = f"{name!r} is not a name of a file. Write one such as 'outputs/model.pkl'."
        raise SettingsError(call, [problem])
    return path.as_posix()


def _copy(source: Path, target: Path) -> None:
    try:
        make_folder(target.parent)
        shutil.copyfile(source, target)
    except OSError as error:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise StorageError(f"can't copy {source} to {target}: {error}") from error
