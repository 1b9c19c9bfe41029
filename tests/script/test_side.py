"""Side inputs on a node: what is linked or copied, where it is found, what is refused."""

import os
import shutil
import zlib
from collections import namedtuple
from pathlib import Path

import pytest

from daskrun.core.minibatch import NodePath
from daskrun.data.paths import PathTable
from daskrun.errors import DatasetError
from daskrun.script.context import ScriptContext
from daskrun.script.node_folders import base_folder
from daskrun.script.node_paths import located
from daskrun.script.node_spec import InputPlace, Limits, NodeSpec, SideInputSpec
from daskrun.script.process_spec import ProcessSpec, ScriptFile, ScriptOutput
from daskrun.script.side_inputs.bring import Bringing
from daskrun.script.side_inputs.location import take_away

pytestmark = pytest.mark.usefixtures("own_temporary_folder")
Usage = namedtuple("Usage", "total used free")
TEXTS = {"a.txt": "one", "deep/b.txt": "two"}


@pytest.fixture
def root(tmp_path):
    for name, text in TEXTS.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return tmp_path / "root"


def side(root, rows=None, **changes):
    rows = [(name, len(text), -1) for name, text in TEXTS.items()] if rows is None else rows
    usual = {"remote": False, "options": {}, "file": "", "there": False, "copy": True, "path": None}
    table = zlib.compress(PathTable(rows).to_bytes())
    return SideInputSpec(root=str(root), table=table, **{**usual, **changes})


def node(name="run-node000-abc"):
    folder = base_folder() / name
    folder.mkdir(parents=True)
    return folder


def bring_here(described, folder, run_id):
    return Bringing(described, folder, run_id).bring()


def contents(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize("copy", [True, False])
def test_files_keep_their_places_below_the_root(root, copy):
    [path] = bring_here({"x": side(root, copy=copy)}, node(), "run").values()
    assert contents(path) == TEXTS
    assert all(Path(path, name).is_symlink() is not copy for name in TEXTS)


def test_what_is_used_where_it_is_costs_nothing(root):
    folder = node()
    told = {"x": side(root, there=True), "y": side(root, there=True, file="a.txt")}
    assert bring_here(told, folder, "run") == {"x": str(root), "y": str(root / "a.txt")}
    assert list(folder.iterdir()) == []


def test_a_file_that_has_changed_since_it_was_listed_is_named(root):
    told = {"x": side(root, [("a.txt", 3, -1), ("deep/b.txt", 7, -1)])}
    with pytest.raises(DatasetError, match=r"side input 'x': .*b.txt' had 7 bytes .* has 3 now"):
        bring_here(told, node(), "run")


def test_a_file_that_is_gone_is_named(root):
    told = {"x": side(root, [("gone.txt", 3, -1)])}
    with pytest.raises(
        DatasetError, match=r"side input 'x': can't copy '.*gone.txt' to the node: "
    ):
        bring_here(told, node(), "run")


def test_a_name_that_leads_out_of_the_folder_is_refused(root):
    folder = node()
    with pytest.raises(DatasetError, match=r"side input 'x': the file name '../a.txt' can't be"):
        bring_here({"x": side(root, [("../a.txt", 3, -1)])}, folder, "run")
    assert contents(folder) == {}


def test_what_the_disk_has_no_room_for_is_not_begun(root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 85, 15))
    folder, told = node(), {name: side(root, [("a.txt", 8, -1)]) for name in "xy"}
    with pytest.raises(DatasetError, match=r"'x', 'y' are 16 bytes.*15 are free, of which 10 must"):
        bring_here(told, folder, "run")
    assert contents(folder) == {}
    assert bring_here({"x": side(root, copy=False)}, folder, "run")  # links need none


def test_a_path_of_ones_own_is_left_to_the_node_that_still_needs_it(root, tmp_path):
    there = tmp_path / "there"
    told = {"x": side(root, path=str(there))}
    nodes = [node(f"run-node00{n}-abc") for n in range(2)]
    for each in nodes:
        assert bring_here(told, each, "run") == {"x": str(there)}
    assert there.readlink().is_relative_to(nodes[1])
    for each, left in zip(reversed(nodes), (TEXTS, None), strict=True):
        shutil.rmtree(each)
        take_away(told, each, "run")
        assert (contents(there) if os.path.lexists(there) else None) == left


def test_a_path_that_another_run_uses_is_refused(root, tmp_path):
    there = tmp_path / "there"
    told = {"x": side(root, path=str(there))}
    first = node()
    bring_here(told, first, "run")
    other = node("other-node000-abc")
    with pytest.raises(DatasetError, match=r"side input 'x': path=.*something already"):
        bring_here(told, other, "other")
    take_away(told, other, "other")
    assert contents(there) == TEXTS


def test_paths_are_put_in_where_the_script_looks(monkeypatch, tmp_path):
    monkeypatch.setenv("taken", "mine")
    context = ScriptContext(output_dir="s3://b/rows", input_datasets={"images": "/images", "x": ""})
    rows = ScriptOutput(url="s3://b/rows")
    spec = NodeSpec(
        run_id="run",
        node="node000",
        nodes_here=1,
        gpus=None,
        logs="/logs",
        process=ProcessSpec(
            ScriptFile("score.py", "score.py", "/"), (), (), context, files=(rows,)
        ),
        arguments=(
            "score.py",
            "--x",
            NodePath("input", "x"),
            NodePath("output", "rows"),
            NodePath("input", "images"),
        ),
        inputs=(
            InputPlace("images", "/images", False, "files"),
            InputPlace("far", "s3://b/far", True, "files"),
        ),
        side_inputs={"x": side("/x", there=True)},
        outputs={"rows": rows},
        limits=Limits(1, 1, 1, 1, 1, None),
        environment={"asked": "yours"},
        processes=None,
        threads=None,
        python=None,
        run_copy=None,
        log_limit=1,
        usage_interval=0,
        fetch_limit=1,
        cache_limit=0,
        folder=str(tmp_path),
    )
    made = located(spec, {"taken": "/taken", "asked": "/asked"})
    here = f"{tmp_path}/output/0"
    assert made.process.argv == ("score.py", "--x", "/x", here, "/images")
    assert made.process.context.output_dir == made.process.files[0].folder == here
    paths = {"images": "/images", "x": "/x", "taken": "/taken", "asked": "/asked"}
    assert made.process.context.input_datasets == paths
    own = {name: path for name, path in paths.items() if name not in ("taken", "asked")}
    original = {f"AZUREML_DATAREFERENCE_{name}": path for name, path in paths.items()}
    assert made.variables == own | original
    assert [note.split()[2] for note in made.notes] == ["taken", "asked"]
