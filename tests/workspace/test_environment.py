import pytest

from daskrun.errors import NameNotFoundError, SettingsError, WorkspaceError
from daskrun.workspace.environment import DEFAULT_GPU_IMAGE, CondaDependencies, Environment
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
    assert environment.unused == ["python.conda_dependencies", "docker"]
    record = environment.as_record()
    assert record["python"]["conda_dependencies"] == {
        "pip_packages": ["tensorflow", "pillow", "numpy"],
        "conda_packages": ["cudatoolkit"],
    }
    assert record["docker"] == {"enabled": True, "base_image": DEFAULT_GPU_IMAGE}


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
    value = {**Environment("x").as_record(), "docker": {"enabled": True, "arguments": []}}
    ws.records.create("environments", "x", {"environment": value, "created": 0})
    with pytest.raises(WorkspaceError, match="environment x:1 was kept by another version"):
        Environment.get(ws, "x")
