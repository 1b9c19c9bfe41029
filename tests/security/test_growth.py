"""What strangers write is read in time that grows with its size, and no faster."""

import pandas as pd
import pyarrow as pa

from daskrun.data.tabular.values import frame as frames


def test_a_frame_of_many_columns_is_made_in_slices(monkeypatch):
    values = [[True, None], [1, None], ["a", None], [[1, None], [2]], [1.5, 2.0]]
    table = pa.table({f"c{n}": values[n % 5] for n in range(53)})
    whole, widths, plain = frames.to_frame(table), [], frames._plain_frame

    def noted(part):
        widths.append(part.num_columns)
        return plain(part)

    monkeypatch.setattr(frames, "_plain_frame", noted)
    monkeypatch.setattr(frames, "WIDE", 10)
    pd.testing.assert_frame_equal(frames.to_frame(table), whole)
    assert frames.to_frame(table[:0]).index.equals(pd.RangeIndex(0))
    assert max(widths) == 10
