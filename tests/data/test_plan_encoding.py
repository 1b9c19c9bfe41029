"""The driver's short way to a descriptor gives the same bytes as the mini-batch itself."""

import pytest

from daskrun.data import Dataset
from daskrun.data.file_plan import FilePlan


def test_encode_is_the_mini_batch_encoded(tmp_path):
    for folder, count in (("a", 5), ("b", 3)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            (tmp_path / folder / f"{i}ö.txt").write_text("x" * i)
    inputs = [(name, Dataset.File.from_files(tmp_path / name)) for name in ("a", "b")]
    plan = FilePlan(inputs, 2)
    assert plan.known == 5
    assert [plan.encode(i) for i in range(5)] == [plan[i].encode() for i in range(5)]
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"index={index} is not below"):
            plan.encode(index)
