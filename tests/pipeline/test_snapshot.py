import os

import pytest

from daskrun.core.settings import RunSettings
from daskrun.errors import SettingsError, StorageError
from daskrun.pipeline.steps import snapshot
from daskrun.pipeline.steps.snapshot import find_code


def lay(folder, *names, text="x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def files(folder, script="score.py", workspace="/nowhere"):
    settings = RunSettings(entry_script=script, source_directory=str(folder))
    from pathlib import Path

    return sorted(find_code(settings, Path(workspace)).files)


def test_what_is_always_left_out(tmp_path):
    lay(
        tmp_path,
        "score.py",
        "sub/more.py",
        ".git/config",
        "__pycache__/a.pyc",
        "sub/__pycache__/a.pyc",
        "sub/.ipynb_checkpoints/x.ipynb",
        ".daskrun/config.json",
        "own/config.json",
    )
    assert files(tmp_path, workspace=tmp_path / "own") == ["score.py", "sub/more.py"]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("*.csv", ["a.txt", "data/b.txt", "data/deep/c.txt", "score.py"]),
        ("data/", ["a.csv", "a.txt", "score.py"]),
        ("/a.*", ["data/a.csv", "data/b.txt", "data/deep/c.txt", "score.py"]),
        ("data/*.csv", ["a.csv", "a.txt", "data/b.txt", "data/deep/c.txt", "score.py"]),
        ("data/**", ["a.csv", "a.txt", "score.py"]),
        ("**/deep", ["a.csv", "a.txt", "data/a.csv", "data/b.txt", "score.py"]),
        (
            "*.csv\n!a.csv",
            ["a.csv", "a.txt", "data/a.csv", "data/b.txt", "data/deep/c.txt", "score.py"],
        ),
        ("# a.txt\n\n[ab].txt", ["a.csv", "data/a.csv", "data/deep/c.txt", "score.py"]),
        ("?.txt", ["a.csv", "data/a.csv", "score.py"]),
        ("[!a].txt", ["a.csv", "a.txt", "data/a.csv", "score.py"]),
        ("a.csv/", ["a.csv", "a.txt", "data/a.csv", "data/b.txt", "data/deep/c.txt", "score.py"]),
        ("[z-a]", ["a.csv", "a.txt", "data/a.csv", "data/b.txt", "data/deep/c.txt", "score.py"]),
        ("score.py", ["a.csv", "a.txt", "data/a.csv", "data/b.txt", "data/deep/c.txt", "score.py"]),
    ],
)
def test_ignore_patterns(tmp_path, rules, left):
    lay(tmp_path, "score.py", "a.csv", "a.txt", "data/a.csv", "data/b.txt", "data/deep/c.txt")
    lay(tmp_path, ".amlignore", text=rules)
    assert files(tmp_path) == sorted([".amlignore", *left])


def test_gitignore_counts_without_an_amlignore(tmp_path):
    (tmp_path / ".git").mkdir()
    lay(tmp_path, ".gitignore", text="/work/data/\n*.log\n")
    work = tmp_path / "work"
    lay(work, "score.py", "data/1.png", "x.log", "sub/keep.tmp", "sub/x.tmp")
    lay(work, "sub/.gitignore", text="x.tmp\n")
    assert files(work) == ["score.py", "sub/.gitignore", "sub/keep.tmp"]
    lay(work, ".amlignore", text="sub")
    assert files(work) == [".amlignore", "data/1.png", "score.py", "x.log"]


def test_links_to_folders_are_followed_once(tmp_path):
    lay(tmp_path, "work/score.py", "work/shared/lib.py")
    (tmp_path / "work" / "lib").symlink_to(tmp_path / "work" / "shared")
    (tmp_path / "work" / "loop").symlink_to(tmp_path / "work")
    os.mkfifo(tmp_path / "work" / "pipe")
    assert files(tmp_path / "work") == ["lib/lib.py", "score.py"]


def test_links_out_of_the_folder_are_named(tmp_path):
    lay(tmp_path, "work/score.py", "home/id_rsa", "home/keys/a")
    for name, target in (("a", "home"), ("b", "home/id_rsa"), ("c", "gone"), ("d", "home/keys")):
        (tmp_path / "work" / name).symlink_to(tmp_path / target)
    with pytest.raises(SettingsError, match=r"lead out of it.*'a' .*home'\), 'b' .*'d' ") as caught:
        files(tmp_path / "work")
    assert "'c'" not in str(caught.value)
    (tmp_path / "work" / ".amlignore").write_text("a\nb\nd/\n")
    assert files(tmp_path / "work") == [".amlignore", "score.py"]


def test_a_copy_has_no_bits_of_another_user(tmp_path):
    lay(tmp_path, "work/score.py", "work/tool")
    (tmp_path / "work" / "tool").chmod(0o6755)
    settings = RunSettings(entry_script="score.py", source_directory=str(tmp_path / "work"))
    find_code(settings, tmp_path).copy(tmp_path / "copy")
    assert (tmp_path / "copy" / "tool").stat().st_mode & 0o7777 == 0o755


def test_too_many_files_names_the_largest_folders(tmp_path, monkeypatch):
    lay(tmp_path, "score.py", "few/1", *[f"many/{n}" for n in range(20)])
    monkeypatch.setattr(snapshot, "MOST_FILES", 10)
    with pytest.raises(
        SettingsError,
        match=r"22 files; 300 MB and 10 files are the most.*many \(0\.0 MB, 20 files\), ",
    ) as caught:
        files(tmp_path)
    assert ".amlignore" in str(caught.value)


def test_too_many_bytes(tmp_path, monkeypatch):
    lay(tmp_path, "score.py", "small/1", "small/2")
    lay(tmp_path, "large/1", text="x" * 2048)
    monkeypatch.setattr(snapshot, "MOST_BYTES", 1024)
    with pytest.raises(SettingsError, match=r"The largest: large \("):
        files(tmp_path)


def test_a_copy_of_the_folder(tmp_path):
    lay(tmp_path, "src/pkg/score.py", "src/lib.py", text="1")
    settings = RunSettings(entry_script="pkg/score.py", source_directory=str(tmp_path / "src"))
    found = find_code(settings, tmp_path / "ws")
    source = found.copy(tmp_path / "run" / "snapshot")
    lay(tmp_path, "src/lib.py", text="2")
    assert (source.snapshot / "lib.py").read_text() == "1"
    assert source.file == "pkg/score.py"
    assert source.shown_as == str(tmp_path / "run" / "snapshot" / "pkg" / "score.py")
    assert source.extra_path is None


def test_the_script_alone(tmp_path, monkeypatch):
    lay(tmp_path, "score.py", "parallel_run_step.settings.json", "other.py")
    monkeypatch.chdir(tmp_path)
    source = find_code(RunSettings(entry_script="score.py"), tmp_path).copy(tmp_path / "s")
    assert sorted(os.listdir(source.snapshot)) == ["parallel_run_step.settings.json", "score.py"]
    assert source.shown_as == str(tmp_path / "score.py")
    assert source.extra_path == str(tmp_path)


@pytest.mark.parametrize(
    ("script", "directory", "message"),
    [
        ("none.py", None, r"entry_script='none.py' is not there \(.*none.py\)"),
        ("src", None, "entry_script='src' is a folder"),
        ("none.py", "src", "entry_script='none.py' is not there"),
        ("../score.py", "src", "is not inside source_directory='src'"),
        ("score.py", "none", "source_directory='none' is not a folder"),
    ],
)
def test_what_is_not_there(tmp_path, monkeypatch, script, directory, message):
    lay(tmp_path, "score.py", "src/a.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=message):
        find_code(RunSettings(entry_script=script, source_directory=directory), tmp_path / "ws")


def test_a_file_that_goes_away_is_said(tmp_path):
    lay(tmp_path, "score.py", "lib.py")
    found = find_code(RunSettings("score.py", source_directory=str(tmp_path)), tmp_path / "ws")
    (tmp_path / "lib.py").unlink()
    with pytest.raises(StorageError, match="can't copy the code"):
        found.copy(tmp_path.parent / "target")
