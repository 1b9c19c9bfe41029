import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from daskrun.data import DataPath, Dataset, DatasetConsumptionConfig, FileDataset
from daskrun.errors import DatasetError


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n in range(20):
        path = tmp_path / "images" / f"{n % 2}" / f"{n:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(n))
    return tmp_path / "images"


def base(paths):
    return [os.path.basename(p) for p in paths]


def test_lazy_until_it_is_asked_for(images):
    dataset = Dataset.File.from_files("images/0/*.png").take(3)
    (images / "0" / "01.png").write_text("new")
    assert dataset.to_path() == [str(images / "0" / n) for n in ("00.png", "01.png", "02.png")]


def test_take_and_skip(images):
    dataset = Dataset.File.from_files("images/0")
    assert base(dataset.take(2).to_path()) == ["00.png", "02.png"]
    assert base(dataset.skip(8).to_path()) == ["16.png", "18.png"]
    assert base(dataset.skip(1).take(2).to_path()) == ["02.png", "04.png"]
    assert base(dataset.take(2).skip(1).to_path()) == ["02.png"]
    assert dataset.take(0).to_path() == dataset.skip(99).to_path() == []
    assert len(dataset.to_path()) == 10, "a dataset never changes"


def test_random_split_puts_each_file_in_one_half(images):
    dataset = Dataset.File.from_files("images")
    for seed in (None, 1, 2):
        one, two = dataset.random_split(0.5, seed)
        assert sorted(one.to_path() + two.to_path()) == sorted(dataset.to_path())
        assert one.to_path() == one.to_path()
        assert 0 < len(one.to_path()) < 20
    again, _ = dataset.random_split(0.5, seed=1)
    assert again.to_path() == dataset.random_split(0.5, seed=1)[0].to_path()
    assert again.to_path() != dataset.random_split(0.5, seed=2)[0].to_path()


def test_a_file_stays_in_its_half_when_others_come(images):
    one, _ = Dataset.File.from_files("images").random_split(0.5, seed=7)
    before = one.to_path()
    (images / "0" / "000.png").write_text("new")
    assert [p for p in one.to_path() if not p.endswith("000.png")] == before


def test_a_second_split_with_the_same_seed_is_independent(tmp_path):
    for n in range(400):
        (tmp_path / f"{n}").touch()
    half, _ = Dataset.File.from_files(tmp_path).random_split(0.5, seed=1)
    quarter, _ = half.random_split(0.5, seed=1)
    assert 140 < len(half.to_path()) < 260
    assert 50 < len(quarter.to_path()) < 150


def test_take_sample(images):
    dataset = Dataset.File.from_files("images")
    sample = dataset.take_sample(0.4, seed=3)
    assert 0 < len(sample.to_path()) < 20
    assert set(sample.to_path()) < set(dataset.to_path())
    assert dataset.take_sample(1).to_path() == dataset.to_path()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda d: d.take(-1), "count=-1 is not a number of files"),
        (lambda d: d.take("3"), "count='3' is not a number of files"),
        (lambda d: d.skip(True), "count=True is not a number of files"),
        (lambda d: d.take_sample(0), "probability=0 is not a fraction.* up to 1"),
        (lambda d: d.take_sample(1.5), "probability=1.5"),
        (lambda d: d.take_sample(None), "probability=None"),
        (lambda d: d.random_split(1.0), "percentage=1.0 is not a fraction.* below 1"),
        (lambda d: d.to_dask_bag(0), "mini_batch_size=0 is not a number of files"),
        (lambda d: d.take(0).to_dask_bag(), r"no file is left of .*\.take\(0\)"),
    ],
)
def test_wrong_arguments(images, call, text):
    with pytest.raises(DatasetError, match=text):
        call(Dataset.File.from_files("images"))


def test_validate_looks_now_or_later(images):
    with pytest.raises(DatasetError, match="path='imgs' does not exist"):
        Dataset.File.from_files("imgs")
    later = Dataset.File.from_files("imgs", validate=False)
    with pytest.raises(DatasetError, match="path='imgs' does not exist"):
        later.to_path()
    (images.parent / "imgs").mkdir()
    (images.parent / "imgs/x").touch()
    assert base(later.to_path()) == ["x"]


def test_partition_keys_and_their_values(images):
    dataset = Dataset.File.from_files("images", partition_format="{label}/{number}.png").skip(8)
    assert dataset.partition_keys == ["label", "number"]
    assert dataset.get_partition_key_values(["label"]) == [{"label": "0"}, {"label": "1"}]
    assert dataset.get_partition_key_values()[0] == {"label": "0", "number": "16"}
    assert "partition_format='{label}/{number}.png').skip(8)" in repr(dataset)


def test_wrong_partition_formats(images):
    with pytest.raises(DatasetError, match=r"partition_format='x' names no column"):
        Dataset.File.from_files("images", partition_format="x")
    with pytest.raises(DatasetError, match=r"partition_keys=\['user'\]: 'user' is not in"):
        Dataset.File.from_files(
            "images", partition_format="{label}/*.png"
        ).get_partition_key_values(["user"])
    with pytest.raises(DatasetError, match=r"from_files\('images'\) has no partitions"):
        Dataset.File.from_files("images").get_partition_key_values()
    assert Dataset.File.from_files("images").partition_keys == []


class Store:
    @property
    def storage_options(self):
        return {"password": "hunter2"}

    def url(self, relative):
        return f"https://me:hunter2@host/{relative}?sig=hunter2"


def test_repr_shows_paths_never_credentials(images):
    assert repr(Dataset.File.from_files("images").skip(1).take(5)) == (
        "Dataset.File.from_files('images').skip(1).take(5)"
    )
    many = Dataset.File.from_files([f"images/0/{n:02d}.png" for n in range(0, 20, 2)])
    assert repr(many).endswith("'images/0/04.png', … 7 more])")
    secret = Dataset.File.from_files(
        ["https://me:hunter2@host/a?sig=hunter2", DataPath(Store(), "x"), (Store(), "y")],
        validate=False,
    )
    assert "hunter2" not in repr(secret)
    assert "https://***@host/x" in repr(secret)
    split = repr(Dataset.File.from_files("images").random_split(0.5, seed=1)[1])
    assert split == "Dataset.File.from_files('images').random_split(0.5, seed=1)[1]"


def test_pickles(images):
    dataset = Dataset.File.from_files("images").random_split(0.5)[0].take(4)
    copy = pickle.loads(pickle.dumps(dataset))
    assert isinstance(copy, FileDataset)
    assert copy.to_path() == dataset.to_path()
    assert copy.fingerprint() == dataset.fingerprint()


def test_fingerprint_follows_the_data(images):
    dataset = Dataset.File.from_files("images")
    first = dataset.fingerprint()
    assert dataset.fingerprint() == first == Dataset.File.from_files("images").fingerprint()
    assert dataset.take(3).fingerprint() != first
    path = images / "0/00.png"
    time = path.stat().st_mtime_ns
    path.write_text("X")
    os.utime(path, ns=(time, time + 1))
    assert dataset.fingerprint() != first


def test_download(images, tmp_path):
    dataset = Dataset.File.from_files("images").take(3)
    got = dataset.download(tmp_path / "to")
    assert got == [str(tmp_path / "to/0" / n) for n in ("00.png", "02.png", "04.png")]
    assert [Path(p).read_text() for p in got] == ["0", "2", "4"]
    (images / "0/00.png").write_text("changed")
    with pytest.raises(
        DatasetError, match=r"target_path='.*to': '.*00.png' exists.*overwrite=True"
    ):
        dataset.download(str(tmp_path / "to"))
    assert Path(got[0]).read_text() == "0"
    dataset.download(str(tmp_path / "to"), overwrite=True)
    assert Path(got[0]).read_text() == "changed"
    assert len(list((tmp_path / "to").rglob("*"))) == 4, "nothing but the folder and three files"


def test_a_download_that_fails_leaves_no_half_file(images, tmp_path):
    (images / "0/gone.png").symlink_to("nowhere")
    with pytest.raises(DatasetError, match=r"gone.png' can't be copied to '.*': FileNotFoundError"):
        Dataset.File.from_files("images/0/gone.*").download(tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_dask_bag_has_the_partitions_of_the_run(images):
    from daskrun.data.file_plan import FilePlan

    dataset = Dataset.File.from_files("images").skip(1)
    bag = dataset.to_dask_bag(mini_batch_size=6)
    plan = FilePlan([("input_0", dataset)], 6)
    assert bag.npartitions == plan.known == 4
    parts = bag.map_partitions(lambda part: [list(part)]).compute(scheduler="synchronous")
    assert parts == [[f"{images}/{n}" for n in plan[i].load.names] for i in range(4)]
    assert bag.compute(scheduler="synchronous") == dataset.to_path()
    assert bag.name == dataset.to_dask_bag(mini_batch_size=6).name
    assert bag.name != dataset.to_dask_bag(mini_batch_size=5).name


class Parameter:
    def __init__(self, name, default_value):
        self.name = name
        self.default_value = default_value


def test_consumption(images):
    dataset = Dataset.File.from_files("images")
    named = dataset.as_named_input("images")
    assert (named.name, named.dataset, named.mode, named.path_on_compute) == (
        "images", dataset, "mount", None,
    )  # fmt: skip
    copied = named.as_download("/data")
    assert (copied.name, copied.mode, copied.path_on_compute) == ("images", "download", "/data")
    assert named.mode == "mount", "a new object each time"
    assert copied.as_mount().mode == "mount"
    assert dataset.as_mount("/x").path_on_compute == "/x"
    assert (dataset.as_download().name, dataset.as_download().mode) == (None, "download")
    assert named.resolve({"images": None}) is dataset


def test_consumption_of_a_parameter(images):
    default, other = Dataset.File.from_files("images/0"), Dataset.File.from_files("images/1")
    config = DatasetConsumptionConfig(
        "minist_param_config", Parameter("mnist_param", default)
    ).as_mount()
    assert config.resolve({}) is default
    assert config.resolve({"mnist_param": other, "x": 1}) is other
    with pytest.raises(DatasetError, match=r"\{'mnist_param': 'images'\}.*of type str"):
        config.resolve({"mnist_param": "images"})


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "ä", 3, "a\n"])
def test_input_names(images, name):
    with pytest.raises(DatasetError, match="is not a name for an input"):
        Dataset.File.from_files("images").as_named_input(name)


def test_consumption_of_something_else():
    with pytest.raises(DatasetError, match=r"dataset='images' is of type str"):
        DatasetConsumptionConfig("images", "images")
    dataset = Dataset.File.from_files("x", validate=False)
    with pytest.raises(DatasetError, match=r"mode='hdfs' is unknown"):
        DatasetConsumptionConfig("images", dataset, mode="hdfs")
    assert DatasetConsumptionConfig("images", dataset, mode="direct").mode == "mount"


def test_local_datasets_load_no_heavy_package(images):
    code = (
        "import sys; from daskrun.data import Dataset; "
        "from daskrun.data.file_plan import FilePlan\n"
        "d = Dataset.File.from_files('images'); FilePlan([('x', d)], 3)[0]\n"
        "heavy = {'dask', 'pandas', 'pyarrow', 'fsspec', 'numpy', 'ctypes'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_exported_names():
    import daskrun.data

    assert [getattr(daskrun.data, name).__name__ for name in daskrun.data.__all__] == sorted(
        daskrun.data.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        daskrun.data.Nothing  # noqa: B018
