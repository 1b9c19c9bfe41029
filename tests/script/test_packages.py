"""Which packages are needed and lacking, and what makes two environments the same."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from wheels import make_wheel

from daskrun.core.minibatch import PlanInput
from daskrun.data.tabular.formats.sql.keys import SqlSpec
from daskrun.output.sinks.parquet.sink import ParquetSink
from daskrun.script.environments import packages
from daskrun.script.environments.build import identity
from daskrun.script.environments.packages import asked_file

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
PARQUET = list(ParquetSink.packages)


def test_bounds_are_those_of_the_project():
    listed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["sql"]]
    for line in (*PARQUET, *packages.FOR_TABLES, *SqlSpec.packages, packages.FOR_URLS):
        assert line in listed
    least = ".".join(map(str, packages.LEAST_PYTHON))
    assert PROJECT["requires-python"] == f">={least}"


def test_needs_follow_from_inputs_and_output():
    files = PlanInput("a", "/data", False, {})
    csv, sql = (
        PlanInput("b", "/data", False, {}, "tabular", {"reader": {"format": name}})
        for name in ("delimited", "sql")
    )
    assert packages.needs([files], ["/out"]) == []
    assert packages.needs([csv, csv], ["/out"], PARQUET) == list(packages.FOR_TABLES)
    assert packages.needs([sql], [""]) == [*packages.FOR_TABLES, *SqlSpec.packages]
    assert packages.needs([files], ["/out"], PARQUET) == PARQUET
    assert packages.needs([], ["abfs://c/x"]) == [packages.FOR_URLS, "adlfs"]
    assert packages.needs([], ["memory://x"]) == [packages.FOR_URLS]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Have a package installed that has extras, one of them naming another."""
    info = tmp_path / "tiny_one-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tiny-one\nVersion: 1.5\n"
        "Provides-Extra: good\nProvides-Extra: bad\nProvides-Extra: all\n"
        "Requires-Dist: packaging; extra == 'good'\n"
        "Requires-Dist: nowhere-to-be-found; extra == 'bad'\n"
        "Requires-Dist: nowhere-to-be-found; python_version < '3' and extra == 'good'\n"
        "Requires-Dist: tiny-one[good,bad]; extra == 'all'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("tiny-one") == "1.5"


@pytest.mark.parametrize(
    "line",
    [
        "tiny-one",
        "Tiny_One==1.5",
        "tiny.one[good]>=1,<2",
        "tiny-one==9; python_version < '3'",
        "nowhere-to-be-found; sys_platform == 'win32'",
        "tiny-one==1.5 --hash=sha256:abc",
        "--extra-index-url https://host/simple",
        "--pre",
    ],
)
def test_lines_that_are_satisfied(installed, line):
    assert packages.lacking([line]) == []


@pytest.mark.parametrize(
    "line",
    [
        "tiny-one==1.6",
        "tiny-one[bad]",
        "tiny-one[all]",
        "tiny-one @ https://host/tiny.whl",
        "git+https://host/tiny.git",
        "./tiny-one",
        "-e ./tiny-one",
        "--editable=./tiny-one",
        "-c constraints.txt",
        "-r more.txt",
    ],
)
def test_lines_that_have_to_be_installed(installed, line):
    assert packages.lacking(["tiny-one", line]) == [line]


def test_the_same_packages_make_the_same_environment(tmp_path):
    assert identity(["a", "b==1"]) == identity(["b==1", "a"])
    assert identity(["a"]) != identity(["a", "b"])
    wheel = make_wheel(tmp_path)
    before = identity([str(wheel)])
    assert identity([str(wheel)]) == before
    make_wheel(tmp_path, code="VERSION = 2\n")
    assert identity([str(wheel)]) != before


def test_a_folder_counts_by_what_is_built_from_it(tmp_path):
    (tmp_path / "src" / "tiny").mkdir(parents=True)
    (tmp_path / "src" / "tiny" / "a.py").write_text("1")
    line = f"-e {tmp_path}/src[all]"
    before = packages.contents([line])
    for made in ("build", "tiny.egg-info", "tiny/__pycache__", ".git"):
        (tmp_path / "src" / made).mkdir()
        (tmp_path / "src" / made / "made").write_text("x")
    assert packages.contents([line]) == before
    (tmp_path / "src" / "tiny" / "a.py").write_text("2")
    assert packages.contents([line]) != before


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("./tiny --hash=sha256:0", "./tiny"),
        ("tiny @ file:///x/tiny-1.whl", "/x/tiny-1.whl"),
        ("-c limits.txt", "limits.txt"),
        ("-e git+https://host/tiny", ""),
        ("tiny>=1 ; sys_platform != 'a/b'", ""),
        ("${HOME}/tiny", ""),
        ("--index-url https://host/simple", ""),
        ("--no-index", ""),
    ],
)
def test_which_file_a_line_asks_for(line, path):
    assert asked_file(line) == path
