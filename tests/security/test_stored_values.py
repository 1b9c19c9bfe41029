"""Nothing that was stored runs code when it is read: not in the driver, the keeper or a worker."""

from __future__ import annotations

import ast
import base64
import json
import os
import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from daskrun.core.minibatch import Survey
from daskrun.engine.journal_records import SurveyRecord
from daskrun.engine.surveys import Surveys, as_text, from_text

PACKAGE = Path(__file__).resolve().parents[2] / "daskrun"
SCRIPT_PROCESS = ("script/process/",)
"""Where the user's code is run, which may do anything there."""
BETWEEN_PROCESSES = {
    "core/minibatch.py": "pickle.loads",  # a descriptor, of the driver that made it
    "data/tabular/dask_frames.py": "pickle.loads",  # of a graph, whose functions are pickled too
    "data/tabular/loading/local_fetch.py": "pickle.loads",  # of the plan of this process
    "data/tabular/write.py": "pickle.loads",  # as dask_frames.py
    "engine/dask/connection.py": "pickle.loads",  # of the scheduler, as its client does
    "engine/dask/bag.py": "eval",  # in Dask's workers, of this package's own text
    "engine/dask/driver_task.py": "eval",  # likewise
    "engine/dask/source.py": "eval",  # likewise
    "script/wire.py": "pickle.loads",  # what is told downwards: see there
}
"""What a process is told by the one that started it. Nothing of it was ever on a disk."""
READERS = {"load", "loads", "Unpickler", "read_pickle"}
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
EVALUATE = {"eval", "exec", "compile", "read_pickle", "unsafe_load", "full_load"}
WORDS = re.compile("|".join([*PICKLES, *EVALUATE, "yaml", "np.load", "allow_pickle"]))
YAML = {"load", "load_all", "Loader", "UnsafeLoader", "FullLoader"}


def evaluators(text):
    """Yield the names in a module that read pickles or evaluate text."""
    if not WORDS.search(text):  # to parse all modules takes a second
        return
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            yield from (a.name for a in node.names if a.name in READERS)
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if (owner in PICKLES and node.attr in READERS - {"Unpickler"}) or (
                owner == "yaml" and node.attr in YAML
            ):
                yield f"{owner}.{node.attr}"
            elif node.attr in EVALUATE - {"compile", "exec"} or ast.unparse(node) == "np.load":
                yield node.attr
        elif isinstance(node, ast.Name) and node.id in EVALUATE:
            yield node.id
        elif isinstance(node, ast.Call):
            if any(word.arg == "allow_pickle" for word in node.keywords):
                yield "allow_pickle"
        elif isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if "pickle.Unpickler" in bases and "find_class" not in methods:
                yield "pickle.Unpickler"


def test_no_other_place_unpickles_or_evaluates():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(SCRIPT_PROCESS) and (names := [*evaluators(path.read_text())]):
            found[name] = " ".join(sorted(names))
    assert found == BETWEEN_PROCESSES


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.load(file)",
        "from pickle import loads",
        "import cloudpickle\ncloudpickle.loads(x)",
        "import pandas as pd\npd.read_pickle(x)",
        "import yaml\nyaml.load(x, Loader=yaml.SafeLoader)",
        "yaml.UnsafeLoader",
        "eval(x)",
        "exec(x)",
        "frame.eval(x)",
        "np.load(x)",
        "numpy.load(x, allow_pickle=True)",
        "class Own(pickle.Unpickler):\n    pass",
        "marshal.loads(x)",
    ],
)
def test_each_way_to_do_so_is_found(text):
    assert [*evaluators(text)]


class Planted:
    def __reduce__(self):
        return os.mkdir, (os.environ["PLANTED"],)


def texts(tmp_path, monkeypatch):
    """Give what others could have written in a journal."""
    monkeypatch.setenv("PLANTED", str(tmp_path / "planted"))
    planted = pickle.dumps(Planted())
    return [
        *(base64.b64encode(data).decode() for data in (planted, b"", b"junk", planted[:9])),
        base64.b64encode(b"cbuiltins\neval\n(Vopen('x')\ntR.").decode(),
        "no base 64",
        7,
        ["x"],
    ]


def test_a_journal_runs_no_code(tmp_path, monkeypatch):
    for text in texts(tmp_path, monkeypatch):
        assert from_text(text) is None
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("found", [((1, b"\x00", None),), [0, "é", 2.5], {"a": (True, -1)}, 0])
def test_what_a_survey_found_is_read_as_it_was(found):
    earlier = base64.b64encode(pickle.dumps(found, 5)).decode("ascii")  # of versions before
    assert from_text(as_text(found)) == from_text(earlier) == found


def test_a_survey_whose_record_is_none_is_made_again(tmp_path, monkeypatch):
    learned = {}
    due = [Survey(number, b"", (number,)) for number in range(9)]
    surveyor = SimpleNamespace(begin=lambda most: [due.pop(0) for _ in due[:most]])
    surveyor.learn = learned.__setitem__
    surveys = Surveys(SimpleNamespace(surveyor=surveyor, complete=False), 3, lambda _: None)
    wrong = texts(tmp_path, monkeypatch)
    told = [as_text("found"), *wrong]
    surveys.remember({json.dumps([n]): SurveyRecord([n], found=t) for n, t in enumerate(told)})
    assert surveys.recall()
    assert learned == {0: "found"}
    handed = surveys.hand_out({"node": 99})
    assert [each.bundle.entries[0][0] for each in handed] == list(range(1, 9))
    assert not (tmp_path / "planted").exists()
