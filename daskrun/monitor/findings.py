"""Where the time of a run went, and what to change: sentences that follow from its figures."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from daskrun.monitor.pace import duration
from daskrun.monitor.snapshot import Attempt
from daskrun.shown.counted import many

if TYPE_CHECKING:
    from daskrun.monitor.snapshot import Snapshot

SMALL = 0.01
"""Seconds of a mini-batch below which what daskrun does around it is felt."""
GOOD = 0.2
"""Seconds of a mini-batch to aim at."""
BASIS = 0.5
"""Seconds of slots at work: of what takes less the start is all there is to see."""
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
NONE = Attempt(-1, 0, 0, -1, 0.0, 0.0, 0.0, 0.0)
TEXTS = {
    "failed": "{failed} of the time went into attempts that failed.{again}",
    "init": "{init} of the time went into init(), {inits}. Load less in it, or use fewer processes "
    "for so little data: process_count_per_node, node_count.",
    "load": "Reading data takes longer than run(): {load} of the time against {run}. More "
    "processes may wait for the same disk or network; keep the data nearer, read fewer columns "
    "(keep_columns), or store it as Parquet.",
    "write": "{write} of the time went into writing {megabytes:,.1f} MB of results. Return less "
    "for each item, or write Parquet: append_row_file_name='results.parquet'.",
    "few": "There were {total:,} mini-batches for {slots:,} script processes, which waited for "
    "{waiting} of the time: more processes won't help. Use fewer{or_smaller}.",
    "small": "Mini-batches take {each:.2g} ms each, so that what is done around them takes "
    "{waiting} of the time. Make them larger: {larger}{was}.",
    "straggler": "Mini-batch {straggler} took {took}, where 95 % take less than {usual}: others "
    "may have waited for it. Look at this item{or_smaller}.",
    "late": "Mini-batches that were held up ran once more, {times} in all, while processes waited "
    "for {waiting} of the time. Look at their items: logs/sys/happenings.txt names them.",
}
"""What to change, by what was found."""


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
    too little is known: before ten mini-batches are done, and :data:`BASIS`.
    """
    found, attempts, times = shares(snapshot), sum(snapshot.latency.values()), snapshot.times
    few = attempts < min(10, snapshot.progress.total or 10) or not snapshot.progress.items
    few = few or times.run + times.load + times.write + times.init + times.failed < BASIS
    if not found or few or snapshot.progress.script:  # whose one mini-batch is the whole program
        return []
    weights = _weights(snapshot, found, attempts)
    facts = _facts(snapshot, found, attempts)
    names = sorted((name for name in weights if weights[name]), key=lambda name: -weights[name])
    return [TEXTS[name].format(**facts) for name in names]


def _weights(snapshot: Snapshot, found: dict[str, float], attempts: int) -> dict[str, float]:
    """Return which part of the time each of :data:`TEXTS` may be worth; 0 where it isn't so."""
    total, slots, waiting = snapshot.progress.total, _slots(snapshot), found["waiting"]
    waits = waiting if waiting >= NOTABLE else 0.0
    usual, [one] = snapshot.quantile(0.95) or 0.0, snapshot.longest()[:1] or [NONE]
    late = attempts > 1 and usual > 0 and one.run_seconds >= STRAGGLING * usual
    late = late and one.elapsed >= NOTABLE * snapshot.seconds
    small = attempts >= 100 and _each(snapshot, attempts) < SMALL and not _keys(snapshot)
    return {
        "failed": found["failed"] if found["failed"] >= NOTABLE / 2 else 0.0,
        "init": found["init"] if found["init"] >= NOTABLE else 0.0,
        "load": found["load"] if found["load"] >= max(NOTABLE, found["run"]) else 0.0,
        "write": found["write"] if found["write"] >= NOTABLE else 0.0,
        "few": waits if total is not None and slots > 1 and total < 2 * slots else 0.0,
        "small": waits if small else 0.0,
        "straggler": one.elapsed / max(snapshot.seconds, 1e-9) * waiting if late else 0.0,
        "late": waits if snapshot.backups and not late else 0.0,
    }


def _facts(snapshot: Snapshot, found: dict[str, float], attempts: int) -> dict[str, object]:
    """Return what is filled into :data:`TEXTS`."""
    [one], each = snapshot.longest()[:1] or [NONE], _each(snapshot, attempts)
    init = [each.init_seconds for each in snapshot.processes if each.init_seconds]
    tries, size = (snapshot.settings.get(key, "") for key in ("run_max_try", "mini_batch_size"))
    items = snapshot.items.get(str(one.index), "")
    again = f" Where another try can't help, write run_max_try=1 (it was {tries})."
    smaller = "" if size == "1" or _keys(snapshot) else ", or write a smaller mini_batch_size"
    was = f" (it was {size})" if size else ""
    return {
        **{kind: f"{100 * share:.0f} %" for kind, share in found.items()},
        "again": again if tries not in ("", "1") else "",
        "inits": f"{duration(sum(init) / max(len(init), 1))} in each of {len(init):,} processes",
        "megabytes": snapshot.output_bytes / 1e6,
        "total": snapshot.progress.total,
        "slots": _slots(snapshot),
        "was": was,
        "or_smaller": f"{smaller}{was if smaller else ''}",
        "each": 1000 * each,
        "larger": _larger(size, ceil(GOOD / max(each, 1e-5))),
        "straggler": f"{one.index}{f' ({items})' if items else ''}",
        "times": many(snapshot.backups, "time"),
        "took": duration(one.elapsed),
        "usual": duration(snapshot.quantile(0.95) or 0.0),
    }


def _each(snapshot: Snapshot, attempts: int) -> float:
    return (snapshot.times.run + snapshot.times.load + snapshot.times.write) / attempts


def _keys(snapshot: Snapshot) -> bool:
    """Return whether mini-batches are cut by values, so that they have no size to choose."""
    return "partition_keys" in snapshot.settings


def _slots(snapshot: Snapshot) -> int:
    """Return the slots, also of a run that has ended: the processes that have made attempts."""
    return snapshot.slots or len([each for each in snapshot.processes if each.attempts])


def _larger(given: str, factor: int) -> str:
    """Return a setting of the size that is so many times the present one."""
    if not given.isdigit():
        return f"a mini_batch_size {factor:,} times as large"
    size = int(given) * factor
    if size < 1 << 20:
        return f"mini_batch_size={size}"
    return f"mini_batch_size='{ceil(size / (1 << 20))}MB'"
