"""The words of ``program_arguments``: what the script gets, and what the runtime is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from daskrun.jobs.expressions import Reference, words
from daskrun.pipeline.steps.arguments import WithText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Word = list[str | Reference]
SETTINGS = {
    "--error_threshold": "error_threshold",
    "--allowed_failed_count": "allowed_failed_count",
    "--allowed_failed_percent": "allowed_failed_percent",
    "--process_count_per_node": "process_count_per_node",
    "--run_invocation_timeout": "run_invocation_timeout",
    "--run_max_try": "run_max_try",
    "--mini_batch_size": "mini_batch_size",
    "--logging_level": "logging_level",
    "--progress_update_timeout": "progress_update_timeout",
    "--task_overhead_timeout": "load_timeout",
    "--resource_monitor_interval": "resource_monitor_interval",
    # as Azure ML's own reference and samples have it; its runtime knows flags by their beginning
    "--resource_monitor_interva": "resource_monitor_interval",
}
"""The runtime's own flags, and the setting that each is here."""
UNUSED = (
    "--first_task_creation_timeout",
    "--copy_logs_to_parent",
    "--metrics_name_prefix",
    "--push_metrics_to_parent",
    "--profiling_module",
    "--append_row_safe_output",
    "--amlbi_async_mode",
    "--amlbi_dataframe_mixed_types",
    "--resume_from",
)
"""Flags of the runtime that mean nothing here: limits, logs and resuming are other ones."""


class Flags(NamedTuple):
    """What ``program_arguments`` say."""

    words: list[Word]
    """Those of the script."""
    settings: Mapping[str, Word]
    """By setting the word that is its value."""
    unused: list[str]


def flags_of(text: str) -> Flags:
    """Split ``program_arguments``, and part the script's words from the runtime's flags.

    ValueError is raised where a quote is not closed.

    Examples
    --------
    >>> flags_of("--model m --error_threshold 5 --copy_logs_to_parent=True")
    Flags(words=[['--model'], ['m']], settings={'error_threshold': ['5']}, \
unused=['--copy_logs_to_parent'])
    """
    kept: list[Word] = []
    settings: dict[str, Word] = {}
    unused: list[str] = []
    waiting = iter(words(text))
    for word in waiting:
        first = word[0] if isinstance(word[0], str) else ""
        flag, given, rest = first.partition("=")
        if flag not in SETTINGS and flag not in UNUSED:
            kept.append(word)
            continue
        value: Word = [*([rest] if rest else []), *word[1:]] if given else next(waiting, [""])
        if flag in SETTINGS:
            settings[SETTINGS[flag]] = value
        else:
            unused.append(flag)
    return Flags(kept, settings, unused)


def arguments_of(given: Iterable[Word], value_of: Callable[[Reference], object]) -> list[object]:
    """Return words as arguments of a step: text, or what stands for a path, with text around it.

    ValueError is raised where a word has two paths.
    """
    return [_argument(word, value_of) for word in given]


def _argument(word: Word, value_of: Callable[[Reference], object]) -> object:
    made = [value_of(each) if isinstance(each, Reference) else each for each in word]
    paths = [number for number, each in enumerate(made) if not isinstance(each, str)]
    if not paths:
        return "".join(map(str, made))
    if len(paths) > 1:
        raise ValueError(f"{''.join(map(str, word))} has two paths in one word. Write two words.")
    before, after = "".join(map(str, made[: paths[0]])), "".join(map(str, made[paths[0] + 1 :]))
    value = made[paths[0]]
    if isinstance(value, WithText):
        return WithText(f"{before}{value.before}", value.value, f"{value.after}{after}")
    return WithText(before, value, after) if before or after else value
