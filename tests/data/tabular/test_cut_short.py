"""Local tables that are cut short while they are read: no half value comes of one."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskrun.data import Dataset
from daskrun.data.tabular.formats.node_cache import NodeCache
from daskrun.data.tabular.formats.text import source
from daskrun.data.tabular.loading.load import TableLoader
from daskrun.data.tabular.loading.local_fetch import complete_here
from daskrun.data.tabular.planning.table_plan import TablePlan
from daskrun.errors import TableError

ROWS = 6000
TEXTS = [f"text number {n}" for n in range(ROWS)]


def delimited(path):
    path.write_text("a,b\n" + "".join(f"{n},{text}\n" for n, text in enumerate(TEXTS)))
    return Dataset.Tabular.from_delimited_files(str(path))


def by_lines(path):
    delimited(path)
    return Dataset.Tabular.from_delimited_files(str(path), support_multi_line=False)


def json_lines(path):
    path.write_text("".join(f'{{"a": {n}, "b": "{text}"}}\n' for n, text in enumerate(TEXTS)))
    return Dataset.Tabular.from_json_lines_files(str(path))


def parquet(path):
    pq.write_table(pa.table({"a": range(ROWS), "b": TEXTS}), path, row_group_size=500)
    return Dataset.Tabular.from_parquet_files(str(path))


@pytest.mark.parametrize("write", [delimited, by_lines, json_lines, parquet])
def test_what_comes_short_fails_with_both_sizes(tmp_path, write):
    path = tmp_path / "table"
    plan = TablePlan([("t", write(path).resolve())], 10_000)
    complete_here(plan)
    loader = TableLoader(plan.inputs[0], NodeCache(str(tmp_path / "cache")))
    size, values, failed = path.stat().st_size, [], []
    for n in range(plan.known):
        if n == 2:
            os.truncate(path, size // 2 + 3)
        try:
            values += loader.load(plan[n].load.pieces, None).b.tolist()
        except TableError as error:
            failed.append(str(error))
    assert values == TEXTS[: len(values)]
    assert len(failed) > plan.known // 3
    words = f"had {size:,} bytes when it was opened and has {size // 2 + 3:,} now: it was cut short"
    assert all(words in text for text in failed)


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_made_plain_first_is_whole_or_none(tmp_path, monkeypatch, in_memory):
    path, cache = tmp_path / "a.csv", NodeCache(str(tmp_path / "cache"))
    path.write_text("a,b\n" + "1,2\n" * 2_000_000, encoding="utf-16")
    size = path.stat().st_size

    def half(raw, *_):
        yield raw.read(size // 4 * 2)
        os.truncate(path, size // 4 * 2)
        yield raw.read()

    monkeypatch.setattr(source, "unpacked", half)
    with pytest.raises(TableError, match=f"had {size:,} bytes when .* cut short"):
        source.TextFile("a", str(path), "utf16").open(cache, in_memory=lambda _: in_memory)
