import pytest

from daskrun.errors import SettingsError
from daskrun.workspace.environment import DEFAULT_GPU_IMAGE, CondaDependencies, Environment


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
