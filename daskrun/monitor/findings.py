"""Where the time of a run went, and what to change: sentences that follow from its figures."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from daskrun.monitor.pace import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from daskrun.monitor.snapshot import Snapshot

SMALL = 0.01
"""Seconds of a mini-batch below which what daskrun does around it is felt."""
GOOD = 0.2
"""Seconds of a mini-batch to aim at."""
LONGEST = 200
"""Characters of an error's message."""
NOTABLE = 0.2
"""A share of the slots' time worth a sentence."""
STRAGGLING = 4.0
"""Times the 95th percentile that a straggler takes at least."""
KINDS = {
    "run": "in run()",
    "load": "reading data",
    "write": "writing results",
    "init": "in init()",
    "failed": "in attempts that failed",
    "waiting": "waiting",
}
"""What slots do, and the words for it."""


def shares(snapshot: Snapshot) -> dict[str, float]:
    """Return which part of the slots' time each of :data:`KINDS` took; they add up to 1.

    Empty where no slot has been there for any time.
    """
    times = snapshot.times
    whole = times.waiting + times.run + times.load + times.write + times.init + times.failed
    return {kind: getattr(times, kind) / whole for kind in KINDS} if whole > 0 else {}


def shortened(text: str) -> str:
    """Return a message for a line of a summary."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def efficiency(snapshot: Snapshot) -> float | None:
    """Return useful time inside ``run()`` / (time × slots); None before there is any."""
    return shares(snapshot).get("run")


def findings(snapshot: Snapshot) -> list[str]:
    """Return what stands out in how a run went, and what to change, the gravest first.

    Each sentence holds the figures that it follows from. Empty where nothing stands out, and where
    too little is known: before ten mini-batches, or a second, are done.
    """
    found = shares(snapshot)
    attempts = sum(snapshot.latency.values())
    if snapshot.progress.script:  # whose one mini-batch is the whole program
        return []
    if not found or attempts < min(10, snapshot.progress.total or 10) or snapshot.times.slots < 1:
        return []
    told = [each for look in LOOKS if (each := look(snapshot, found)) is not None]
    return [text for _, text in sorted(told, key=lambda each: -each[0])]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _failures(snapshot: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    if found["failed"] < NOTABLE / 2:
        return None
    error = shortened(snapshot.errors[0].message) if snapshot.errors else ""
    most = f" The most frequent error: {error}" if error else ""
    tries = snapshot.settings.get("run_max_try", "1")
    fewer = f" Where another try can't help, write run_max_try=1 (it was {tries})."
    text = f"{_percent(found['failed'])} of the time went into attempts that failed."
    return found["failed"], f"{text}{'' if tries == '1' else fewer}{most}"


def _init(snapshot: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    if found["init"] < NOTABLE:
        return None
    seconds = [each.init_seconds for each in snapshot.processes if each.init_seconds]
    mean = sum(seconds) / len(seconds) if seconds else 0.0
    text = (
        f"{_percent(found['init'])} of the time went into init(), {duration(mean)} in each of "
        f"{len(seconds):,} processes. Load less in it, or use fewer processes for so little data: "
        "process_count_per_node, node_count."
    )
    return found["init"], text


def _loading(_: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    if found["load"] < NOTABLE or found["load"] < found["run"]:
        return None
    text = (
        f"Reading data takes longer than run(): {_percent(found['load'])} of the time against "
        f"{_percent(found['run'])}. More processes may wait for the same disk or network; keep the "
        "data nearer, read fewer columns (keep_columns), or store it as Parquet."
    )
    return found["load"], text


def _writing(snapshot: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    if found["write"] < NOTABLE:
        return None
    size = snapshot.output_bytes / 1e6
    text = (
        f"{_percent(found['write'])} of the time went into writing {size:,.1f} MB of results. "
        "Return less for each item, or write Parquet: append_row_file_name='results.parquet'."
    )
    return found["write"], text


def _few(snapshot: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    total, slots = snapshot.progress.total, _slots(snapshot)
    if total is None or total >= 2 * slots or slots < 2 or found["waiting"] < NOTABLE:
        return None
    text = (
        f"There were {total:,} mini-batches for {slots:,} script processes, which waited for "
        f"{_percent(found['waiting'])} of the time: more processes won't help. Write a smaller "
        f"mini_batch_size{_was(snapshot)}, or use fewer processes."
    )
    return found["waiting"], text


def _small(snapshot: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    attempts = sum(snapshot.latency.values())
    each = (snapshot.times.run + snapshot.times.load + snapshot.times.write) / attempts
    if each >= SMALL or found["waiting"] < NOTABLE or attempts < 100:
        return None
    factor = ceil(GOOD / max(each, 1e-5))
    text = (
        f"Mini-batches take {1000 * each:.1f} ms each, so that what is done around them takes "
        f"{_percent(found['waiting'])} of the time. Make them larger: "
        f"{_larger(snapshot, factor)}{_was(snapshot)}."
    )
    return found["waiting"], text


def _stragglers(snapshot: Snapshot, found: dict[str, float]) -> tuple[float, str] | None:
    usual, longest = snapshot.quantile(0.95), snapshot.longest()
    if not usual or not longest or len(longest) < 2 or snapshot.series.width <= 0:
        return None
    one = longest[0]
    took = snapshot.seconds
    if one.run_seconds < STRAGGLING * usual or one.elapsed < NOTABLE * took:
        return None
    items = snapshot.items.get(str(one.index), "")
    text = (
        f"Mini-batch {one.index}{f' ({items})' if items else ''} took {duration(one.elapsed)}, "
        f"where 95 % take less than {duration(usual)}: others may have waited for it. Look at this "
        "item, or write a smaller mini_batch_size."
    )
    return one.elapsed / max(took, 1e-9) * found["waiting"], text


def _slots(snapshot: Snapshot) -> int:
    """Return the slots, also of a run that has ended: the processes that have made attempts."""
    return snapshot.slots or len([each for each in snapshot.processes if each.attempts])


def _was(snapshot: Snapshot) -> str:
    size = snapshot.settings.get("mini_batch_size", "")
    return f" (it was {size})" if size else ""


def _larger(snapshot: Snapshot, factor: int) -> str:
    """Return a setting of the size that is so many times the present one."""
    given = snapshot.settings.get("mini_batch_size", "")
    if not given.isdigit():
        return f"a mini_batch_size {factor:,} times as large"
    size = int(given) * factor
    if size < 1 << 20:
        return f"mini_batch_size={size}"
    return f"mini_batch_size='{ceil(size / (1 << 20))}MB'"


LOOKS: tuple[Callable[[Snapshot, dict[str, float]], tuple[float, str] | None], ...] = (
    _failures,
    _init,
    _loading,
    _writing,
    _few,
    _small,
    _stragglers,
)
"""Each returns what it has found, and which part of the time that may be worth."""
