"""Holds every way of looking at a dataset against the whole, as another reader has it."""

from __future__ import annotations

import json

import dask
import numpy as np
import pandas as pd

from daskrun.data.tabular.collect import empty, loader_of, plan_of

TEXT = "str" if pd.__version__ >= "3" else "object"
"""The dtype of columns of text."""

TEXTS = [
    *("plain", 'with "quotes"', "two\nlines", "a,b;c\td|e", '5" pipe', 'end"', "\r\n", "\n\n"),
    *("é€ñ", "x" * 130, " blank ", "#", "\\", "'", '"', '",', "null?", "0x1F", None),
]


def table_of(rows, seed=0):
    """Rows of every type that text files can hold, with what is hard for them."""
    chance = np.random.default_rng(seed)
    texts = chance.choice(np.array(TEXTS, object), (2, rows))
    missing = chance.random(rows) < 0.2
    seconds = chance.integers(0, 10**8, rows)
    return pd.DataFrame(
        {
            "id": np.arange(rows) + 2**53,
            "s": pd.Series(texts[0], dtype="str"),
            "x": np.where(missing, np.nan, chance.random(rows) * 10.0 ** chance.integers(-9, 9)),
            "t": pd.Timestamp("2020-01-01").as_unit("us") + pd.to_timedelta(seconds, "s"),
            "b": chance.random(rows) < 0.5,
            "n": np.where(missing, np.nan, chance.integers(-1000, 1000, rows)),
            "u": pd.Series(texts[1], dtype="str"),
        }
    ).astype({"t": "datetime64[us]"})


def parts_of(dataset, size):
    """Give each mini-batch as script processes load it, and the dtypes without rows."""
    plan = plan_of(dataset, size)
    with loader_of(plan) as loader:
        frames = [loader.frame(plan[index].load.plain()) for index in range(plan.known)]
    return frames, empty(plan)


def agree(dataset, whole, *sizes):
    """See that all ways agree with ``whole``; gives the numbers of mini-batches."""
    same(dataset.to_pandas_dataframe(), whole)
    return [agree_in_parts(dataset, whole, size) for size in sizes]


def agree_in_parts(dataset, whole, size):
    """See that mini-batches and partitions of one size agree."""
    frames, none = parts_of(dataset, size)
    lazy = dataset.to_dask_dataframe(size)
    partitions = dask.compute(*lazy.to_delayed(), scheduler="synchronous")
    assert kinds(lazy._meta) == kinds(none) == kinds(whole)
    assert not any(lazy[n].cat.known for n in whole if whole.dtypes[n] == "category")
    assert len(partitions) == max(1, len(frames))
    assert [len(p) for p in partitions] == [len(f) for f in frames or [none]]
    assert sum(map(len, frames)) == len(whole)
    for each in (*frames, *partitions):
        assert isinstance(each.index, pd.RangeIndex)
        assert kinds(each) == kinds(whole)
    # One comparison of all rows costs less than thousands; the lengths say where each lies.
    same(joined(frames, whole), whole)
    same(joined(partitions, whole), whole)
    return len(frames)


def kinds(frame):
    """Give names and dtypes; categories are those of the rows read together."""
    return [
        (name, "category" if dtype == "category" else dtype)
        for name, dtype in zip(frame.columns, frame.dtypes.tolist(), strict=True)
    ]


def joined(frames, whole):
    if any(dtype == "category" for dtype in whole.dtypes):
        kept = {name: dtype for name, dtype in whole.dtypes.items() if dtype == "category"}
        frames = [frame.astype(kept) for frame in frames]
    return pd.concat([f for f in frames if len(f)] or [whole[:0]], ignore_index=True)


def same(got, expected):
    """Exactly: values, dtypes, names, an index from 0; a category's values, not their order."""
    pd.testing.assert_frame_equal(
        plain(got), plain(expected.reset_index(drop=True)), check_exact=True,
        check_index_type="equiv", check_categorical=False,
    )  # fmt: skip


def plain(frame):
    """Lists and dicts as text: pandas can't compare them; nor, in pandas 2, None and NaN."""
    nested = [name for name, dtype in frame.dtypes.items() if str(dtype) == "object"]
    texts = {
        name: [
            json.dumps(None if v is np.nan else v, default=np.ndarray.tolist) for v in frame[name]
        ]
        for name in nested
    }
    return frame.assign(**{name: pd.Series(text, dtype=object) for name, text in texts.items()})
