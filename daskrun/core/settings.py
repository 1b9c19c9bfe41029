"""Everything a run can be told, resolved and validated once; immutable after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from daskrun.core.codec import record

ASIDE = "_daskrun"
"""Folder beside an output that holds a folder of parts for each run that is not finished."""


@record
@dataclass(frozen=True)
class NodePath:
    """Stands among a script's arguments for a path that is known on its node only."""

    kind: str
    """``input``: of a step's input or side input; ``output``: of what the step writes."""
    name: str
    """The input's or output's."""


@record
@dataclass(frozen=True)
class RunSettings:
    """Settings of one step run; times in seconds.

    Made by :func:`daskrun.core.validation.resolve_settings`.
    """

    entry_script: str
    """File with ``run``, relative to ``source_directory`` if that is given."""
    source_directory: str | None = None
    output_action: str = "append_row"
    """``append_row`` or ``summary_only``."""
    append_row_file_name: str = "parallel_run_step.txt"
    append_row_format: str = "text"
    """``text``, ``csv``, ``jsonl`` or ``parquet``."""
    mini_batch_size: int | None = None
    """Files for a file dataset, bytes for a tabular one; None: 10 files or 1 MB."""
    partition_keys: tuple[str, ...] | None = None
    """One mini-batch per existing combination of the values of these columns."""
    error_threshold: int = -1
    """Failed items allowed over the whole input; -1: any number."""
    allowed_failed_count: int | None = None
    """Failed mini-batches allowed; None or -1: any number."""
    allowed_failed_percent: float | None = None
    """Percent of mini-batches allowed to fail, judged once all have been handed out."""
    node_count: int = 1
    process_count_per_node: int | None = None
    """Script processes per node; None: one per core, or per GPU where there are GPUs."""
    run_invocation_timeout: float = 60
    run_max_try: int = 3
    logging_level: str = "INFO"
    environment_variables: dict[str, str] = field(default_factory=dict)
    environment_name: str = ""
    """Of the environment that the next two come from, for messages."""
    requirements: tuple[str, ...] = ()
    """Lines for pip: a node whose own Python lacks any of them has an environment built."""
    python_executable: str | None = None
    """Interpreter of the script processes; None: the node's own, or that of what is built."""
    environment_timeout: float = 1800
    init_timeout: float = 600
    load_timeout: float = 600
    shutdown_timeout: float = 30
    no_worker_timeout: float = 300
    progress_update_timeout: float | None = None
    """None: 3 × (run_invocation_timeout + 30)."""
    process_memory_limit: int | None = None
    """Bytes of resident memory at which a script process is killed; None: no limit, or in a
    container 0.9 × its limit ÷ processes."""
    retry_delay: float = 0.1
    """Wait before a second try, doubled for each further one, at most 10 s."""
    resource_monitor_interval: float = 30
    """Seconds between two notes of what nodes and script processes use; 0: none are made."""
    threads_per_process: int | None = None
    """BLAS, OMP, TensorFlow threads of a script process; None: cores ÷ processes."""
    argv_compat: bool = False
    """Add the original's ``--mini_batch_size`` ... to the script's ``sys.argv``."""
    overwrite: bool = False
    """Replace an existing output file instead of refusing."""
    arguments: tuple[str | NodePath, ...] = ()
    """The user's arguments, as the script sees them in ``sys.argv[1:]``, paths put in."""
    append_row_settings: dict[str, Any] = field(default_factory=dict)
    """What ``parallel_run_step.settings.json`` beside the script says for ``append_row``."""

    @property
    def appends(self) -> bool:
        """Whether the run writes one output of all results."""
        return self.output_action == "append_row"

    @property
    def output_file(self) -> str | None:
        """Name of that output; None where the script writes its own files."""
        return self.append_row_file_name if self.appends else None
