"""Names from outside: what is brought under any name ends below its target, or is refused."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

import pytest
from generated import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keys import KeyStore

from daskrun.data.datasets import Dataset
from daskrun.data.file_transfer import download
from daskrun.data.paths import PathTable
from daskrun.errors import DaskrunError, DatasetError, SettingsError, StorageError
from daskrun.pipeline.records.kept_pipeline import KeptCode
from daskrun.pipeline.runs.experiment import Experiment
from daskrun.pipeline.runs.run_files import RunFiles
from daskrun.pipeline.steps.output_config import OutputFileDatasetConfig
from daskrun.pipeline.steps.outputs import PortDataReference
from daskrun.script.fetching.transfers import Order, transfers_of
from daskrun.storage.metric_files import MetricFolder
from daskrun.storage.mirror import MODES, Mirror, bring_whole
from daskrun.storage.stores import open_url_folder
from daskrun.workspace.datastores import datastore_transfer
from daskrun.workspace.datastores.datastore import Datastore
from daskrun.workspace.datastores.datastore_transfer import Count
from daskrun.workspace.models.model import Model
from daskrun.workspace.workspace import Workspace

OUT = Path(tempfile.mkdtemp())
"""Where a key with a whole path in it would be written."""
atexit.register(shutil.rmtree, OUT, ignore_errors=True)


@pytest.fixture(autouse=True)
def store():
    KeyStore.objects.clear()
    yield KeyStore.objects
    KeyStore.objects.clear()
    assert [*OUT.iterdir()] == []


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workspace.create("own")


def datastore_download(target):
    datastore_transfer.get("keys://b", "keys://b/in", target, {}, False, Count(None, 9.0))


def datastore_download_all(target):
    datastore_transfer.get("keys://b", "keys://b", target, {}, False, Count(None, 9.0))


def dataset_download(target):
    Dataset.File.from_files("keys://b/in", validate=False).download(target)


def dataset_mount(target):
    Dataset.File.from_files("keys://b/in", validate=False).mount(target).start()


def mirrored(target):
    Mirror(target, open_url_folder("keys://b/in", {}), code="").bring(over=True)


def brought_whole(target):
    for name in ["in", *(key.removeprefix("b/in/") for key in KeyStore.objects)]:
        bring_whole(open_url_folder("keys://b", {}), name, target / "one" / "model")


def copied_by_the_keeper(target):
    names = [key.removeprefix("b/in/") for key in KeyStore.objects]
    order = Order(1, 0, 0, ("files", *names), 1, str(target / "home"))
    for transfer in transfers_of(order):
        path = Path(transfer.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


WAYS = [
    datastore_download,
    datastore_download_all,
    dataset_download,
    dataset_mount,
    mirrored,
    brought_whole,
    copied_by_the_keeper,
]
PARTS = st.sampled_from(["..", ".", "", "a", "b", "é", "\n", "\0", "x" * 300, str(OUT), MODES])
NAMES = st.lists(PARTS | st.text(max_size=5), max_size=6).map("/".join)


def brought(way, names, told=None):
    """Bring objects of these names to a folder deep in another; give what is there afterwards."""
    KeyStore.objects.clear()
    KeyStore.objects.update({f"b/in/{name}": b"x" for name in names})
    if told is not None:
        KeyStore.objects[f"b/in/{MODES}"] = told
    with tempfile.TemporaryDirectory() as top:
        target = Path(top, "1/2/3/4/5/6/target")
        target.mkdir(parents=True)
        try:
            way(target)
        except (DaskrunError, OSError, ValueError):
            refused = True
        else:
            refused = False
        found = [path for path in Path(top).rglob("*") if not path.is_dir()]
        outside = [path for path in found if not path.is_relative_to(target)]
        folders = [*OUT.iterdir()]
        assert not [path for path in found if path.is_symlink()]
        return refused, outside, folders, [str(path.relative_to(target)) for path in found]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=examples(40))
@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True))
@example(names=["../../x"])
@example(names=[f"/{OUT}/x"])
@example(names=["a/../../../x"])
@example(names=["a//b", "a/b"])
@example(names=["", "/", ".", ".."])
@example(names=[""])
def test_any_name_ends_below_its_target_or_is_refused(way, names):
    _, outside, folders, _ = brought(way, names)
    assert (outside, folders) == ([], [])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["../../x", "a/../../../../x", "..", "a\0b"])
def test_a_name_that_leads_out_is_refused_before_anything_is_written(way, name):
    refused, outside, folders, inside = brought(way, ["a", name])
    assert (outside, folders) == ([], [])
    if way in (dataset_download, dataset_mount) and not refused:  # left out, as hidden names are
        assert inside == ["a"]
    elif way is not brought_whole:  # which brings one after the other here
        assert (refused, inside) == (True, [])


@pytest.mark.parametrize("way", WAYS)
def test_usual_names_are_brought(way):
    refused, outside, _, inside = brought(way, ["a/b.txt", "..c", "d..e", ".f", "g h"])
    assert (refused, outside) == (False, [])
    assert len(inside) >= 3  # datasets leave out those that begin with a dot


@given(
    empty=st.lists(NAMES, max_size=3),
    more=st.dictionaries(st.sampled_from(["executable", "empty_folders"]), st.integers()),
)
@settings(max_examples=examples(40))
@example(empty=[f"{OUT}/planted"], more={})
@example(empty=["../../planted"], more={})
@example(empty=["."], more={})
def test_modes_of_a_stranger_make_no_folder_elsewhere(empty, more):
    told = json.dumps({"executable": [], "empty_folders": empty, **more}).encode()
    _, outside, folders, _ = brought(mirrored, ["a"], told)
    assert (outside, folders) == ([], [])


@pytest.mark.parametrize("told", [b"", b"[]", b"{", b"[" * 100_000, b'{"empty_folders": 7}'])
def test_modes_that_are_none_are_named(told):
    KeyStore.objects.update({"b/in/a": b"x", f"b/in/{MODES}": told})
    with (
        tempfile.TemporaryDirectory() as target,
        pytest.raises(StorageError, match=r"keys://b/in/\.modes\.json is not what was put there"),
    ):
        mirrored(Path(target))


@pytest.mark.slow
def test_an_absolute_key_of_s3_stays_below_the_target(bucket, tmp_path, ws):
    path = tmp_path / "elsewhere" / "planted"
    bucket.put(str(path), b"x")
    assert bucket.keys() == [str(path)]
    store = Datastore.register_url(ws, "s3", bucket.url, bucket.options)
    assert store.download(tmp_path / "to", show_progress=False) == 1
    assert not path.exists()
    assert (tmp_path / "to" / str(path).lstrip("/")).read_bytes() == b"x"


def test_keys_of_s3_that_lead_out_are_not_brought(bucket, tmp_path):
    ws = Workspace.create("team", path=f"{bucket.url}/team", storage_options=bucket.options)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w").write_text("w")
    model = Model.register(ws, tmp_path / "weights", "m")
    shutil.rmtree(ws.folder / model._place)  # as in another process
    top, up = "team/.daskrun", "../" * 12
    bucket.put(f"{top}/{model._place}/{up}{OUT}/planted", b"x")
    bucket.put(f"{top}/runs/r/run.json", b'{"kind": "pipeline", "experiment": "e"}')
    bucket.put(f"{top}/runs/r/{up}{OUT}/planted", b"x")
    for call in (lambda: model.download(tmp_path / "to"), ws.site.run_folder("r").fetch):
        with pytest.raises(StorageError, match=r"the file name '.*/planted' can't be a path below"):
            call()
    assert not (tmp_path / "to").exists()
    assert not (ws.folder / model._place).exists()


def test_runs_and_records_of_a_stranger_name_no_place_elsewhere(tmp_path, ws, store):
    Workspace.create("theirs", path="keys://b/team")
    theirs = Workspace("keys://b/team/.daskrun")
    top = "b/team/.daskrun"
    for run in ("..", ".", "a"):
        store[f"{top}/runs/{run}/run.json"] = json.dumps(
            {"kind": "pipeline", "experiment": "e", "pipeline_run": run, "steps": ["../../x", "/y"]}
        ).encode()
    store[f"{top}/models/../1.json"] = store[f"{top}/models/.x/1.json"] = b"{}"
    before = set(theirs.folder.parent.rglob("*"))
    assert theirs.site.run_ids() == ["a"]
    assert theirs.records.names("models") == []
    for asked in ("..", "../a", "a/..", "/etc", "a\0b", ""):
        assert theirs.site.find_run(asked) is None
        with pytest.raises(StorageError, match="can't be a path below"):
            theirs.site.run_folder(asked)
        with pytest.raises(StorageError, match="can't be a path below"):
            ws.site.run_folder(asked)
        with pytest.raises(StorageError, match="can't be a path below"):
            theirs.site.run_folder("a").sibling(asked)
    new = set(theirs.folder.parent.rglob("*")) - before
    assert all(path.is_relative_to(theirs.folder / "runs") for path in new)
    with pytest.raises(StorageError, match="can't be a path below"):
        Experiment(theirs, "e").get_run("a")


@pytest.mark.parametrize("url", [False, True])
@pytest.mark.parametrize(
    "place", ["../../home/x", "{out}/a/b/c", "runs/a", "models_files/m", "models_files/m/../../x"]
)
def test_a_model_is_among_the_models(tmp_path, ws, store, url, place):
    if url:
        Workspace.create("theirs", path="keys://b/team")
        ws = Workspace("keys://b/team/.daskrun")
    precious = tmp_path / "home" / "x"
    precious.mkdir(parents=True)
    value = {"path": place.format(out=tmp_path), "created": 1.0}
    ws.records.create("models", "m", value)
    model = Model(ws, "m")
    for call in (lambda: model.path, lambda: model.download(tmp_path / "to"), model.delete):
        with pytest.raises(StorageError, match=r"Model\(name='m', version=1\) can't be at"):
            call()
    assert precious.exists()
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("to", ["/dev/zero", "/proc/self/environ", "/proc/self"])
def test_a_model_has_no_links_to_what_the_system_makes_up(tmp_path, ws, to):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").symlink_to(to)
    with pytest.raises(StorageError, match="leads to what the system makes up"):
        Model.register(ws, tmp_path / "model", "m")
    assert [path for path in (ws.folder / "models_files").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("path", ["a\0b", "a\nb", "\x7f", "a/\x1b[31m", "\x85"])
def test_a_destination_has_no_control_characters(ws, path):
    with pytest.raises(SettingsError, match=r"destination=.* has a control character"):
        OutputFileDatasetConfig("x", destination=(ws.get_default_datastore(), path))


@pytest.mark.parametrize("path", ["_daskrun", "a/_daskrun/b"])
def test_a_destination_is_not_among_unfinished_parts(ws, path):
    with pytest.raises(SettingsError, match="'_daskrun' is where daskrun keeps"):
        OutputFileDatasetConfig("x", destination=(ws.get_default_datastore(), path))


def test_a_zero_byte_is_no_path_in_a_datastore(ws):
    with pytest.raises(SettingsError, match="datastore path"):
        ws.get_default_datastore().url("a\0b")


@pytest.fixture
def links(tmp_path):
    """Make a folder with a file, and links to what is data and to what isn't."""
    folder = tmp_path / "in"
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "deep.txt").write_text("deep")
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    for name, to in {
        "b-link.txt": "a.txt",
        "c-far": tmp_path / "far",
        "d-gone": "nowhere",
        "zero": "/dev/zero",
        "environ": "/proc/self/environ",
        "proc": "/proc/self",
        "fd": "/dev/fd",
        "sys": "/sys",
    }.items():
        (folder / name).symlink_to(to)
    os.mkfifo(folder / "pipe")
    (folder / "to-pipe").symlink_to("pipe")
    return folder


def test_links_to_devices_and_into_proc_are_no_inputs(links, tmp_path, ws):
    listed = ["a.txt", "b-link.txt", "c-far/deep.txt", "d-gone"]
    for path in (str(links), f"{links}/**", f"{links}/*"):
        found = Dataset.File.from_files(path, validate=False).to_path()
        assert found == [
            f"{links}/{name}" for name in listed if path[-2:] != "/*" or "/" not in name
        ]
    for name in ("environ", "proc", "sys", "fd", "zero", "to-pipe"):
        with pytest.raises(DatasetError, match=r"is a link to what the system|is neither a file"):
            Dataset.File.from_files(str(links / name))
    store = Datastore.register_local(ws, "images", links)
    assert store.download(tmp_path / "to", show_progress=False) == 2
    assert sorted(os.listdir(tmp_path / "to")) == ["a.txt", "b-link.txt"]
    store.upload(links, "up", show_progress=False)
    assert sorted(os.listdir(links / "up")) == ["a.txt", "b-link.txt"]


def test_a_listing_of_names_that_lead_out_is_refused_with_the_name(tmp_path):
    class Listing:
        root, remote, storage_options = str(tmp_path), False, {}
        table = PathTable([("../x", 1, 1)])

    with pytest.raises(DatasetError, match=r"the file name '\.\./x' can't be a path below"):
        download(Listing, tmp_path / "to", False)


@pytest.mark.parametrize("place", ["../../x", "{out}/x", "a/../../x", "a\0b"])
def test_an_output_of_a_stranger_is_copied_nowhere_else(tmp_path, ws, place):
    store, to = ws.get_default_datastore(), tmp_path / "1" / "2" / "to"
    before = set(tmp_path.rglob("*"))
    output = PortDataReference("o", store, place.format(out=OUT), "Failed")
    with pytest.raises((StorageError, SettingsError)):
        output.download(to)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(to)} == {
        *before,
        *(to.parents[n] for n in range(2) if to.exists()),
    }


def test_images_of_a_stranger_are_those_of_the_run(tmp_path):
    metrics = MetricFolder(tmp_path, "w")
    metrics.add_image("mine", b"x", ".png")
    for value in ("../../secret.png", "/etc/passwd", "..", 7.5, ["a"], None):
        metrics.add("image", "theirs", value)
    paths = [Path(each.value) for each in metrics.records()]
    assert {path.parent for path in paths} == {tmp_path / "metrics" / "images"}


class Files(RunFiles):
    id, _registry, _file_folder = "run", None, None
    _add = _add_image = _ids_below = _records = None


def test_files_of_a_run_are_below_it_and_data(tmp_path, links):
    files = Files()
    files._file_folder = tmp_path / "run"
    for name in ("../x", f"{OUT}/x", "a/../../x", "a\0b", ""):
        with pytest.raises(SettingsError, match="is not a name of a file"):
            files.upload_file(name, links / "a.txt")
    files.upload_folder("up", links)
    assert files.get_file_names() == ["up/a.txt", "up/b-link.txt"]
    files._file_folder = links
    assert files.get_file_names() == ["a.txt", "b-link.txt"]


def test_kept_code_begins_in_what_was_kept(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "other.py").write_text("")
    for name in ("../other.py", str(tmp_path / "other.py")):
        with pytest.raises(StorageError, match="can't be a path below"):
            KeptCode(name, True, "/").snapshot(tmp_path / "code")


def test_names_in_an_archive_stay_below(tmp_path):
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("in/ok.txt", "in/../../up.txt", f"/{OUT}/abs.txt", "../up.txt"):
            archive.writestr(name, "x")
    to = tmp_path / "1" / "2" / "to"
    for path in ("", "in", "*", "**", "in/**"):
        with suppress(DaskrunError):
            url = f"zip://{path}::file://{tmp_path}/a.zip"
            Dataset.File.from_files(url, validate=False).download(to, overwrite=True)
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in found - {tmp_path / "a.zip"}} >= {"ok.txt"}
    assert all(path.is_relative_to(to) for path in found - {tmp_path / "a.zip"})
