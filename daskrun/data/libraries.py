"""Libraries that take tenths of a second to load, each loaded when something of it is first used.

``import daskrun``, runs over files and planning do without most of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskrun.core.plugins import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as arrow_csv
    import pyarrow.json as arrow_json
    import pyarrow.parquet as pq
else:
    np = LazyModule("numpy")
    pa = LazyModule("pyarrow")
    pc = LazyModule("pyarrow.compute")
    arrow_csv = LazyModule("pyarrow.csv")
    arrow_json = LazyModule("pyarrow.json")
    pd = LazyModule("pandas")
    pq = LazyModule("pyarrow.parquet")

dask: Any = LazyModule("dask")  # is partly typed, as the next
dd: Any = LazyModule("dask.dataframe")
sa: Any = LazyModule("sqlalchemy")  # is an extra

__all__ = ["arrow_csv", "arrow_json", "dask", "dd", "np", "pa", "pc", "pd", "pq", "sa"]
