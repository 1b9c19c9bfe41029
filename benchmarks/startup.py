"""From submit to the first ``run()`` in a fresh interpreter, and what importing costs."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import middle, one_round, show, show_spread

FIRST_RUN = 2.0
"""Seconds."""
IMPORT = 0.25
HEAVY = ("bokeh", "pandas", "pydantic", "rich")
"""What must not be imported before the first outcome: each costs tenths of a second."""
SCRIPT = """
import time
def run(mini_batch):
    return [repr(time.time())] * len(mini_batch)
"""


def main(rounds: int) -> bool:
    """Measure and print; True when every target is met."""
    print("startup: a fresh interpreter, ten files, two processes, a script without init()")
    found = [one_round("startup") for _ in range(rounds)]
    met = show("import daskrun", middle(found, "import"), "s", IMPORT, 3)
    met &= show("submit to the first run()", middle(found, "first_run"), "s", FIRST_RUN, 2)
    show_spread("submit to the first run(), ms", found, "first_run", 1000)
    show_spread("submit to the first outcome at the driver, ms", found, "first_outcome", 1000)
    show_spread("submit to the end, ms", found, "end", 1000)
    heavy = sorted({name for one in found for name in one["heavy"]})
    print(f"  loaded at the first outcome, of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    return met and not heavy


def measure() -> dict[str, Any]:
    """Measure once, in this interpreter, which has imported nothing of daskrun yet."""
    begin = time.perf_counter()
    import daskrun  # noqa: F401  (its cost is measured)

    imported = time.perf_counter() - begin
    from benchmarks.ground import Watch, make_files, make_request, output_of

    class First(Watch):
        heavy: list[str]

        def notify(self, event: Any) -> None:
            if type(event).__name__ == "BundleReturned" and not hasattr(self, "heavy"):
                self.heavy = [name for name in HEAVY if name in sys.modules]
            super().notify(event)

    from daskrun.data import Dataset
    from daskrun.data.plan import FilePlan
    from daskrun.engine.driver import RunControl, execute

    watch = First()
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        make_files(data, 10)
        submitted = time.time()
        plan = FilePlan([("files", Dataset.File.from_files(str(data)))], 1)
        request = make_request(Path(place), plan, SCRIPT, process_count_per_node=2)
        report = execute(request, [watch], RunControl())
        assert report.succeeded == plan.known, report
        ended = time.time()
        first_run = min(map(float, output_of(request).read_text().split()))
    return {
        "import": imported,
        "first_run": first_run - submitted,
        "first_outcome": watch.first["BundleReturned"] - submitted,
        "end": ended - submitted,
        "heavy": watch.heavy,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
