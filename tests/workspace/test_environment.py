import os

import pytest

from daskrun import ParallelRunConfig
from daskrun.core.settings import resolve_settings
from daskrun.errors import NameNotFoundError, SettingsError, StorageError, WorkspaceError
from daskrun.storage.records import Records
from daskrun.workspace.environments.dependencies import CondaDependencies
from daskrun.workspace.environments.environment import DEFAULT_GPU_IMAGE, Environment
from daskrun.workspace.workspace import Workspace


def test_the_tutorials_environment():
    dependencies = CondaDependencies.create(pip_packages=["tensorflow", "pillow"])
    environment = Environment(name="batch_environment")
    assert environment.unused == []
    environment.python.conda_dependencies = dependencies
    environment.docker.enabled = True
    environment.docker.base_image = DEFAULT_GPU_IMAGE
    dependencies.add_pip_package("numpy")
    dependencies.add_conda_package("cudatoolkit")
    assert environment.unused == ["python.conda_dependencies.conda_packages", "docker"]
    assert environment.requirements == ["tensorflow", "pillow", "numpy"]
    record = environment.as_record()
    assert record["python"]["conda_dependencies"] == {
        "pip_packages": ["tensorflow", "pillow", "numpy"],
        "conda_packages": ["cudatoolkit"],
        "channels": [],
    }
    assert record["docker"]["base_image"] == DEFAULT_GPU_IMAGE


def test_a_misspelt_attribute_is_an_error():
    environment = Environment("e")
    with pytest.raises(AttributeError):
        environment.dockr = 1
    with pytest.raises(AttributeError):
        environment.docker.image = "x"


def test_wrong_values():
    with pytest.raises(SettingsError, match="name='' is not a name"):
        Environment("")
    with pytest.raises(SettingsError, match="pip_packages='pillow' is not a list"):
        CondaDependencies.create(pip_packages="pillow")


def test_packages_and_options_can_be_changed(tmp_path):
    named = CondaDependencies.create(["pillow"], python_version="3.10", pip_indexurl="https://a/")
    named.set_python_version("3.11")
    named.set_pip_index_url("https://b/")
    for _ in range(2):
        named.set_pip_option("--extra-index-url https://c/")
    named.add_pip_package("-e ./mine")
    assert named.get_python_version() == "3.11"
    assert CondaDependencies.create(conda_packages=["pandas"]).get_python_version() is None
    assert named.pip_options == ["--extra-index-url https://c/", "--index-url https://b/"]
    named.remove_pip_option("--extra-index-url")
    assert named.pip_packages == ["--index-url https://b/", "pillow", "-e ./mine"]
    named.set_pip_requirements(["numpy", "--no-index"])
    assert (named.pip_packages, named.pip_options) == (["numpy", "--no-index"], ["--no-index"])
    with pytest.raises(SettingsError, match="set_pip_requirements: pip_requirements='a' is not"):
        named.set_pip_requirements("a")
    for channel in ("conda-forge", "mine"):
        named.add_channel(channel)
    named.remove_channel("mine")
    assert named.conda_channels == ["conda-forge"]


def test_dependencies_are_written_as_they_are_read(tmp_path):
    named = CondaDependencies.create(["pillow>=11", "--pre"], ["cudatoolkit"], "3.11")
    named.add_channel("conda-forge")
    assert named.save_to_file(tmp_path / "new") == "conda_dependencies.yml"
    file = tmp_path / "new" / "conda_dependencies.yml"
    assert file.read_text() == named.serialize_to_string()
    read = Environment.from_conda_specification("e", file).python.conda_dependencies
    assert read == named
    assert named.save_to_file(tmp_path, "mine.yml") == "mine.yml"
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"mine\.yml' can't be written"):
        named.save_to_file(tmp_path / "file", "mine.yml")


@pytest.fixture
def ws(tmp_path):
    return Workspace.create("trial", path=tmp_path)


def test_registered_environments_have_versions(ws):
    environment = Environment("batch")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["pillow"])
    assert environment.version is None
    first = environment.register(ws)
    assert (first.name, first.version) == ("batch", "1")
    assert environment.register(ws).version == "1"
    environment.docker.base_image = DEFAULT_GPU_IMAGE
    environment.python.user_managed_dependencies = True
    assert environment.register(workspace=ws).version == "2"
    found = Environment.get(ws, "batch")
    assert found.as_record() == {**environment.as_record(), "version": "2"}
    assert found.python.conda_dependencies.pip_packages == ["pillow"]
    assert Environment.get(workspace=ws, name="batch", version="1").docker.base_image is None
    assert Environment.get(ws, "batch", 1).version == "1"
    assert {n: e.version for n, e in Environment.list(ws).items()} == {"batch": "2"}
    assert ws.environments.keys() == {"batch"}
    assert repr(found) == "Environment(name='batch', version='2')"


def with_variables(**variables):
    made = Environment("batch")
    made.environment_variables = variables
    return made


def test_variables_are_registered_and_copied_with_it(ws, tmp_path):
    environment = with_variables(THREADS=2, TOKEN="hush")
    assert environment.register(ws).version == "1"
    assert environment.register(ws).version == "1"
    found = Environment.get(ws, "batch")
    assert found.variables == found.environment_variables == {"THREADS": "2", "TOKEN": "hush"}
    assert Environment.list(ws)["batch"].clone("other").variables == found.variables
    found.save_to_directory(tmp_path / "saved")
    assert Environment.load_from_directory(tmp_path / "saved").variables == found.variables
    assert with_variables(THREADS=3).register(ws).version == "2"
    assert Environment("batch").register(ws).version == "3"
    assert Environment.get(ws, "batch").variables == {}
    assert Environment.get(ws, "batch", 2).variables == {"THREADS": "3"}


def test_values_of_variables_are_for_this_user_alone(ws):
    with_variables(TOKEN="hush").register(ws)
    [holds] = [f for f in ws.folder.rglob("*.json") if "hush" in f.read_text()]
    assert holds.parent == ws.private.folder
    assert holds.stat().st_mode & 0o077 == 0
    os.utime(holds, (1, 1))
    ws.sweep_private()
    assert Environment.get(ws, "batch", "1").variables == {"TOKEN": "hush"}


def test_values_are_not_kept_where_the_record_is_not(ws, monkeypatch):
    def full(*_):
        raise StorageError("disk full")

    monkeypatch.setattr(Records, "create", full)
    with pytest.raises(StorageError, match="disk full"):
        with_variables(TOKEN="hush").register(ws)
    assert list(ws.private.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ("A=1", "environment_variables='A=1' is not a dict. Write environment_variables={"),
        ({"A": None}, "environment_variables={'A': None} has a value that is not text for 'A'"),
    ],
)
def test_wrong_variables_are_told_with_the_config(ws, variables, told):
    environment = Environment("batch")
    environment.environment_variables = variables
    for act in (lambda: config(environment), lambda: environment.register(ws)):
        with pytest.raises(SettingsError, match="environment 'batch'") as caught:
            act()
        assert told in str(caught.value)


def config(environment, **settings):
    return ParallelRunConfig(
        entry_script="score.py",
        error_threshold=0,
        output_action="append_row",
        environment=environment,
        **settings,
    )


def test_variables_of_the_config_go_before_those_of_its_environment():
    environment = with_variables(A=1, B="b")
    own = {"B": "c", "C": "d"}
    resolved = config(environment, environment_variables=own).resolve({})
    assert resolved.environment_variables == {"A": "1", "B": "c", "C": "d"}
    assert config(environment).resolve({}).environment_variables == {"A": "1", "B": "b"}
    python = config(environment, python_executable="/opt/env/bin/python").resolve({})
    assert python.environment_variables == {"A": "1", "B": "b"}
    with pytest.raises(SettingsError, match="environment_variables='B=c' is not a dict"):
        config(environment, environment_variables="B=c")


def test_a_clone_is_another(ws):
    environment = Environment("batch")
    environment.docker.enabled = True
    clone = environment.register(ws).clone("other")
    clone.docker.base_image = "x"
    assert (clone.name, clone.version, clone.docker.enabled) == ("other", None, True)
    assert environment.docker.base_image is None


def test_environments_that_are_not_there(ws):
    with pytest.raises(NameNotFoundError, match="no environment has the name 'batch'"):
        Environment.get(ws, "batch")
    Environment("batch").register(ws)
    for version in (2, "2", "x", 0):
        with pytest.raises(NameNotFoundError, match=f"'batch:{version}'. There are 'batch:1'"):
            Environment.get(ws, "batch", version)
    with pytest.raises(SettingsError, match="has a slash"):
        Environment("a/b").register(ws)


def test_an_environment_of_another_daskrun(ws):
    value = {**Environment("x").as_record(), "docker": {"enabled": True, "image": ""}}
    ws.records.create("environments", "x", {"environment": value, "created": 0})
    with pytest.raises(WorkspaceError, match="environment x:1 was kept by another version"):
        Environment.get(ws, "x")


def test_packages_of_the_original_are_left_out():
    dependencies = CondaDependencies.create(
        pip_packages=["azureml-core>=1.2", "AzureML_Defaults", "daskrun", "pillow", "azure-core"]
    )
    environment = Environment("e")
    environment.python.conda_dependencies = dependencies
    assert environment.requirements == ["pillow", "azure-core"]
    [note] = environment.notes(inline=False)
    assert note == (
        "environment 'e': azureml-core, azureml-defaults, daskrun not installed, since daskrun "
        "stands for it."
    )
    dependencies.remove_pip_package("pillow")
    dependencies.remove_pip_package("Azure_Core")
    assert environment.requirements == []
    dependencies.add_pip_package("azureml-dataset-runtime[fuse,pandas]")
    assert environment.requirements == ["pandas", "pyarrow"]  # which it brought along


def test_all_that_the_original_takes_for_packages_is_taken():
    dependencies = CondaDependencies.create(
        pip_indexurl="https://host/simple",
        pip_packages=["pillow"],
        conda_packages=["cudatoolkit"],
        python_version="3.11",
        pin_sdk_version=False,
    )
    environment = Environment("e")
    environment.python.conda_dependencies = dependencies
    assert environment.requirements == ["--index-url https://host/simple", "pillow"]
    assert dependencies.conda_packages == ["cudatoolkit", "python=3.11"]
    assert environment.problems() == []
    secret = CondaDependencies.create(pip_indexurl="https://me:token@host/simple")
    assert "token" not in secret.problems()[0]


def test_a_file_of_requirements(tmp_path, monkeypatch):
    (tmp_path / "more" / "wheels").mkdir(parents=True)
    (tmp_path / "more" / "tiny-1-py3-none-any.whl").touch()
    (tmp_path / "requirements.txt").write_text(
        "# what the script needs\n"
        "pillow>=10   # pictures\n"
        "\n"
        "scikit-learn \\\n  >=1.5\n"
        "-r more/other.txt\n"
        "./more/tiny-1-py3-none-any.whl[all]\n"
        "--find-links=more/wheels\n"
        "-e ./nowhere\n"
    )
    (tmp_path / "more" / "other.txt").write_text("tiny#1\n-r ../requirements.txt\n-f wheels\n")
    monkeypatch.chdir(tmp_path.parent)
    environment = Environment.from_pip_requirements("e", tmp_path / "requirements.txt")
    assert environment.requirements == [
        "pillow>=10",
        "scikit-learn >=1.5",
        "tiny#1",
        f"-f {tmp_path}/more/wheels",
        f"{tmp_path}/more/tiny-1-py3-none-any.whl[all]",
        f"--find-links={tmp_path}/more/wheels",
        "-e ./nowhere",
    ]
    with pytest.raises(SettingsError, match=r"file_path='missing.txt' can't be read: No such file"):
        Environment.from_pip_requirements("e", "missing.txt")


def test_a_conda_specification(tmp_path):
    file = tmp_path / "environment.yml"
    file.write_text(
        "name: trial\nchannels: [conda-forge]\n"
        "dependencies:\n- python=3.8\n- pip:\n  - pillow\n  - -r more.txt\n- cudatoolkit\n"
    )
    (tmp_path / "more.txt").write_text("tiny\n")
    environment = Environment.from_conda_specification("e", file)
    assert environment.requirements == ["pillow", "tiny"]
    named = environment.python.conda_dependencies
    assert (named.conda_packages, named.channels) == (
        ["python=3.8", "cudatoolkit"],
        ["conda-forge"],
    )
    assert environment.unused == ["python.conda_dependencies.conda_packages"]
    named.set_python_version("3.12")
    assert named.conda_packages == ["cudatoolkit", "python=3.12"]
    for text, problem in [
        ("dependencies: 3", "has no list 'dependencies'"),
        ("dependencies: [3]", "has something else than names"),
        ("a: [", "is not YAML: "),
    ]:
        file.write_text(text)
        with pytest.raises(SettingsError, match=problem):
            Environment.from_conda_specification("e", file)


def test_an_environment_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "mine" / "bin").mkdir(parents=True)
    (tmp_path / "mine" / "bin" / "python").touch()
    monkeypatch.chdir(tmp_path)
    environment = Environment.from_existing_conda_environment("e", "mine")
    assert environment.interpreter == f"{tmp_path}/mine/bin/python"
    assert (environment.unused, environment.requirements) == ([], [])
    with pytest.raises(SettingsError, match="conda_environment_name='base' has no bin/python"):
        Environment.from_existing_conda_environment("e", "base")


def test_an_interpreter_counts_where_the_user_manages_the_packages():
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies.create(["tiny"], python_version="3.8")
    environment.python.interpreter_path = "/opt/mine/bin/python"
    assert environment.interpreter is None
    assert environment.unused == [
        "python.conda_dependencies.conda_packages",
        "python.interpreter_path",
    ]
    environment.python.user_managed_dependencies = True
    assert environment.interpreter == "/opt/mine/bin/python"
    assert environment.requirements == []
    assert environment.unused[0] == "python.conda_dependencies.pip_packages"
    environment.python.interpreter_path = "python"
    assert environment.interpreter is None


def test_all_of_it_is_kept_when_it_is_registered(ws):
    environment = Environment.from_existing_conda_environment("e", "/opt/mine")
    environment.python.conda_dependencies = CondaDependencies.create(["tiny"])
    environment.python.conda_dependencies.add_channel("conda-forge")
    environment.spark.packages.append({"group": "x"})
    environment.docker.base_dockerfile = "FROM x"
    environment.register(ws)
    found = ws.environments["e"]
    assert found.as_record() == {**environment.as_record(), "version": "1"}
    assert found.interpreter == "/opt/mine/bin/python"
    assert found.unused == ["python.conda_dependencies.pip_packages", "docker", "spark"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "names no package"),
        ("a\nb", "names no package"),
        (
            "git+https://me:secret@host/x",
            r"has 'git\+https://\*\*\*@host/x' with a name or password",
        ),
        ("--extra-index-url https://token@host/simple", "Write .{NAME} in their place"),
    ],
)
def test_lines_that_pip_can_not_be_asked_for(line, problem):
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies([line])
    with pytest.raises(SettingsError, match=problem) as caught:
        ParallelRunConfig(
            entry_script="x.py",
            error_threshold=0,
            output_action="append_row",
            environment=environment,
        )
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_what_a_config_says_of_python():
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies(["git+https://${TOKEN}@host/x"])
    common = {"entry_script": "x.py", "error_threshold": 0, "output_action": "append_row"}
    settings = ParallelRunConfig(environment=environment, **common).resolve({})
    assert settings.requirements == ("git+https://${TOKEN}@host/x",)
    assert (settings.environment_name, settings.python_executable) == ("e", None)
    with pytest.raises(SettingsError, match=r"python_executable='/p' and environment 'e' \(git"):
        ParallelRunConfig(environment=environment, python_executable="/p", **common)
    with pytest.raises(SettingsError, match="environment_timeout=0 must be more than 0"):
        ParallelRunConfig(environment_timeout=0, **common)
    environment.python.conda_dependencies = None
    config = ParallelRunConfig(environment=environment, python_executable="/p", **common)
    assert config.resolve({}).python_executable == "/p"
    [note] = config._python_notes(inline=True)
    assert "python_executable='/p' not used" in note
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = "/q"
    with pytest.raises(SettingsError, match="both say which Python is used"):
        config.resolve({})
    environment.python.interpreter_path = "mine/bin/python"
    config.python_executable = None
    with pytest.raises(SettingsError, match="python_executable='mine/bin/python' is relative"):
        config.resolve({})
    environment.python.interpreter_path = "/q"
    assert config.resolve({}).python_executable == "/q"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("pillow", "requirements='pillow' is not a list"),
        (["pillow", ""], "requirements=.* has '', which is no line for pip"),
        (["a\nb"], "which is no line for pip"),
    ],
)
def test_lines_that_no_run_can_be_told(value, problem):
    with pytest.raises(SettingsError, match=problem):
        resolve_settings({"entry_script": "x.py", "requirements": value})


def test_a_folder_with_an_environment(tmp_path):
    environment = Environment("e")
    environment.python.conda_dependencies = CondaDependencies(["tiny"], ["x"])
    environment.save_to_directory(tmp_path / "kept")
    found = Environment.load_from_directory(tmp_path / "kept")
    assert found.as_record() == environment.as_record()
    with pytest.raises(SettingsError, match=r"has azureml_environment\.json already"):
        environment.save_to_directory(tmp_path / "kept")
    environment.python.conda_dependencies.add_pip_package("other")
    environment.save_to_directory(path=tmp_path / "kept", overwrite=True)
    assert Environment.load_from_directory(tmp_path / "kept").requirements == ["tiny", "other", "x"]
    with pytest.raises(SettingsError, match=r"azureml_environment\.json' can't be read"):
        Environment.load_from_directory(tmp_path)


def test_dependencies_are_saved_by_either_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = CondaDependencies.create(["pillow"])
    assert named.save() == named.save_to_file(".") == "conda_dependencies.yml"
    assert named.save("deploy/mine.yml") == "deploy/mine.yml"
    texts = {path.read_text() for path in tmp_path.rglob("*.yml")}
    assert texts == {named.serialize_to_string()}
