import inspect
import pickle
import re
from operator import attrgetter
from typing import Protocol

import pytest

import daskrun
import daskrun.testing
from daskrun import OriginalNameError, SettingsError
from daskrun.core import notices
from daskrun.core.absent_names import OriginalClass
from daskrun.data.datasets import FileDatasetFactory
from daskrun.data.tabular.factory import TabularDatasetFactory
from daskrun.original import workspace as others_ways
from daskrun.original.catalogue import catalogue
from daskrun.original.data import DataPath
from daskrun.original.script_run import ScriptRunConfig
from daskrun.pipeline.runs.metrics import ContextRun, OfflineRun
from daskrun.pipeline.runs.run import PipelineRun
from daskrun.pipeline.steps.base import PipelineStep
from daskrun.pipeline.steps.outputs import PortDataReference
from daskrun.workspace.compute.targets import ComputeStatus
from daskrun.workspace.environments.run_configuration import RunConfiguration
from daskrun.workspace.environments.sections import DockerSection, PythonSection

LACKING, KEYWORDS = catalogue().members, catalogue().keywords
PUBLIC = [getattr(daskrun, name) for name in daskrun.__all__]
OTHERS = {
    each.__name__: each
    for each in (
        ComputeStatus,
        ContextRun,
        DataPath,
        DockerSection,
        FileDatasetFactory,
        OfflineRun,
        PipelineRun,
        PipelineStep,
        PortDataReference,
        PythonSection,
        RunConfiguration,
        ScriptRunConfig,
        TabularDatasetFactory,
    )
}
MEMBERS = [(name, member) for name, members in LACKING.items() for member in members]
GIVEN = [(call, keyword) for call, keywords in KEYWORDS.items() for keyword in keywords]


def those(kind):
    """Give the keywords that are refused, unused or called otherwise here."""
    return [(call, each) for call, each in GIVEN if kind(KEYWORDS[call][each])]


def call_of(name, keyword):
    """Give a class or method of that name which doesn't take the keyword itself."""
    owner, _, method = name.partition(".")
    for kind in (*PUBLIC, *OTHERS.values(), others_ways.Workspace):
        if owner in [base.__name__ for base in getattr(kind, "__mro__", ())]:
            found = getattr(kind, method, None) if method else kind
            if found is not None and keyword not in inspect.signature(found).parameters:
                return found
    raise AssertionError(f"every {name} takes {keyword}")


def class_of(name):
    return OTHERS.get(name) or getattr(daskrun, name)


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_member_that_is_lacking_says_what_there_is_instead(name, member):
    kind = class_of(name)
    with pytest.raises(OriginalNameError) as error:
        getattr(kind, member)
    assert str(error.value) == f"daskrun has no {name}.{member}: {LACKING[name][member]}"
    assert not hasattr(kind, member)


def test_a_member_that_is_lacking_says_so_where_it_is_set_too(caplog):
    notices.forget()
    environment = daskrun.Environment("e")
    with pytest.raises(OriginalNameError, match=r"no Environment\.r: "):
        environment.r = "latest"
    with pytest.raises(OriginalNameError, match=r"attribute '_base_image'\. Write base_image\."):
        environment.docker._base_image = "x"
    with pytest.raises(OriginalNameError, match=r"'_set_tags': names that begin with _ are the SD"):
        environment._set_tags  # noqa: B018
    assert not caplog.records
    environment.inferencing_stack_version = "latest"
    environment.docker.base_image_registry.password = environment.docker.platform = "secret"
    assert [each.message.partition(" ")[0] for each in caplog.records] == [
        "Environment.inferencing_stack_version",
        "DockerSection.base_image_registry",
        "DockerSection.platform",
    ]
    assert "secret" not in str(environment.as_record())
    with pytest.raises(OriginalNameError, match=r"no Run\.display_name: .* Write run\.tag"):
        daskrun.Run.get_context().display_name = "tonight"


@pytest.mark.parametrize(("call", "keyword"), those(lambda each: not each.unused and not each.here))
def test_a_keyword_that_is_lacking_says_what_to_write_instead(call, keyword):
    said = KEYWORDS[call][keyword]
    function, value = call_of(call, keyword), {"one": 1}
    with pytest.raises(SettingsError) as error:
        function(**{keyword: value})
    assert f"{keyword}={value}: {said.message}" in error.value.problems
    assert error.value.subject.split(".")[-1] in (call.split(".")[-1], function.__name__)
    assert re.search(
        r"\b(write|leave it out|choose|have|make|put|say)\b", said.message, re.IGNORECASE
    )
    assert said.problem(None) == ""


@pytest.mark.parametrize(("call", "keyword"), those(lambda each: each.unused))
def test_a_keyword_that_is_not_used_is_said_once(call, keyword, caplog, monkeypatch, tmp_path):
    said, function = KEYWORDS[call][keyword], call_of(call, keyword)
    assert re.search(r"\b(write|leave it out)\b", said.message, re.IGNORECASE)
    monkeypatch.chdir(tmp_path)
    notices.forget()
    for value in ("secret", "secret", None):
        try:
            function(**{keyword: value})
        except TypeError as error:  # of what it needs besides
            assert "missing" in str(error)  # noqa: PT017
    (record,) = caplog.records
    assert record.message.endswith(f"{keyword} is not used: {said.message}")


@pytest.mark.parametrize(("call", "keyword"), those(lambda each: each.here))
def test_a_keyword_with_another_name_here_is_given_under_that(call, keyword):
    here = KEYWORDS[call][keyword].here
    function = call_of(call, keyword)
    assert here in inspect.signature(function).parameters
    with pytest.raises(SettingsError, match=rf"{keyword}=1: {here}= says the same\. Leave one"):
        function(**{keyword: 1, here: 2})


def test_such_a_keyword_does_what_it_does_here(tmp_path):
    images = daskrun.Dataset.File.from_files("images", validate=False)
    assert images.as_mount(path_on_compute="/data/images").path_on_compute == "/data/images"
    assert daskrun.PipelineData("pages").as_input(input_name="all_pages").name == "all_pages"


def test_all_that_is_wrong_with_a_call_is_said_at_once():
    with pytest.raises(SettingsError) as error:
        daskrun.PipelineData("a/b", is_directory=1, output_mode="mount", training_output=[1])
    assert [each.partition(" ")[0].rstrip(":") for each in error.value.problems] == [
        "name='a/b'",
        "is_directory=1",
        "training_output=[1]",
    ]
    with pytest.raises(SettingsError, match=r"^Pipeline has 3 problems"):
        daskrun.Pipeline(None, [], resolve_closure=False)
    with pytest.raises(SettingsError, match=r"^Experiment\.list has 2 problems"):
        daskrun.Experiment.list(None, tags=[1], view_type="ArchivedOnly")


@pytest.mark.parametrize(
    "given",
    [
        {"is_directory": True, "output_overwrite": False, "data_type": None},
        {"output_mode": "upload", "output_name": None},
    ],
)
def test_what_is_so_anyway_may_be_said(given):
    assert daskrun.PipelineData("scores", **given).name == "scores"
    with pytest.raises(SettingsError, match="is_directory=1: an output is always a folder"):
        daskrun.PipelineData("scores", is_directory=1)


def test_a_keyword_that_nobody_had_is_named_with_the_nearest_and_is_a_type_error_as_ever():
    for call, given in (
        (daskrun.PipelineData, {"name": "a", "is_dir": True}),
        (daskrun.PipelineData, {"name": "a", "is_directory": True, "is_dir": True}),
        (daskrun.Model.register, {"model_frame": "x"}),
        (daskrun.ParallelRunConfig, {"entry": "a.py"}),
        (daskrun.PipelineRun.get_children, {"self": None, "recursively": True}),
    ):
        with pytest.raises(TypeError):
            call(**given)


def test_signatures_are_the_classes_own():
    assert list(inspect.signature(daskrun.PipelineData).parameters) == [
        *("name", "datastore", "output_name")
    ]
    assert list(inspect.signature(daskrun.Run).parameters) == ["experiment", "run_id"]
    assert "model_framework" not in inspect.signature(daskrun.Model.register).parameters
    assert daskrun.Model.register.__doc__.startswith("Copy a file or folder")


def test_a_class_of_the_users_takes_what_it_wants():
    class Noted(daskrun.PythonScriptStep):
        def __init__(self, *args, **given):
            self.edition = given.pop("edition", None)
            super().__init__(*args, **given)

    class Dated(daskrun.PythonScriptStep):
        def __init__(self, script_name, edition):
            super().__init__(script_name)
            self.edition = edition

    assert Noted("a.py", edition="2").edition == Dated("a.py", edition="2").edition == "2"
    assert Noted("a.py", runconfig_pipeline_params={"NodeCount": 1}).script_name == "a.py"


def test_runs_and_workspaces_of_all_kinds_lack_the_same(tmp_path):
    run = daskrun.Run.get_context()
    with pytest.raises(
        OriginalNameError, match=r"daskrun has no Run\.get_secret: there is no key v"
    ):
        run.get_secret("x")
    assert "get_secret" not in dir(run)
    assert not {"r", "databricks"} & {*dir(daskrun.Environment), *dir(daskrun.Environment("e"))}
    ws = daskrun.Workspace.create("trial", path=tmp_path)
    with pytest.raises(
        AttributeError, match=r"no Workspace\.get_default_keyvault: there is no key"
    ):
        ws.get_default_keyvault()


def test_any_other_name_is_missing_as_ever():
    with pytest.raises(AttributeError, match="has no attribute 'deplyo'"):
        daskrun.Model.deplyo  # noqa: B018


def test_what_a_class_has_is_its_own():
    class Model(OriginalClass):
        def deploy(self):
            return "deployed"

    class Better(Model):
        pass

    assert Better().deploy() == "deployed"
    with pytest.raises(OriginalNameError, match=r"no Model\.package: nothing is deployed here"):
        Better().package  # noqa: B018
    with pytest.raises(OriginalNameError, match=r"no Model\.package: nothing is deployed here"):
        Model.package  # noqa: B018
    assert "deploy" in dir(Better())


def test_the_error_can_be_pickled():
    with pytest.raises(OriginalNameError) as error:
        daskrun.Model.deploy  # noqa: B018
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_hints_name_only_what_there_is():
    said = [hint for members in LACKING.values() for hint in members.values()]
    said += [KEYWORDS[call][each].message for call, each in those(lambda each: not each.here)]
    assert all(hint.endswith(".") for hint in said)
    hints = " ".join(said)
    words = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", hints))
    assert len(words) > 5
    assert words <= set(daskrun.__all__)
    calls = set(re.findall(r"\b([A-Z]\w+(?:\.\w+)+)\(", hints))
    assert len(calls) > 5
    for call in calls:
        attrgetter(call)(daskrun)


def test_an_error_within_a_property_is_its_own():
    class Model(OriginalClass):
        @property
        def path(self):
            return self.nothing

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        Model().path  # noqa: B018
    assert not hasattr(Model(), "path")


def test_such_a_class_can_implement_a_protocol():
    class Named(Protocol):
        def name(self) -> str: ...

    class Model(OriginalClass, Named):
        def name(self) -> str:
            return "mnist"

    assert isinstance(Model(), Model)
    assert not isinstance("mnist", Model)
    with pytest.raises(OriginalNameError, match=r"no Model\.deploy"):
        Model.deploy  # noqa: B018


NAMED = {
    "ParallelRunConfig: mini_batchsize is no argument of it. Write mini_batch_size=...": (
        lambda: daskrun.ParallelRunConfig(
            entry_script="a.py", error_threshold=1, output_action="append_row", mini_batchsize=3
        )
    ),
    "ParallelRunConfig has 2 problems:\n  1. error_threshold is missing": (
        lambda: daskrun.ParallelRunConfig(entry_script="a.py")
    ),
    "FileDatasetFactory.from_files: pth is no argument of it. Write path=...": (
        lambda: daskrun.Dataset.File.from_files(pth="x")
    ),
    "Pipeline: stepz is no argument of it. Write steps=...": (
        lambda: daskrun.Pipeline(workspace=None, stepz=[])
    ),
    "PipelineParameter: defualt_value is no argument": (
        lambda: daskrun.PipelineParameter("x", defualt_value=1)
    ),
    "FileDataset.download: overwrit is no argument of it. Write overwrite=...": (
        lambda: daskrun.Dataset.File.from_files("x", validate=False).download("y", overwrit=True)
    ),
    "run_script: arguements is no argument of it. Write arguments=...": (
        lambda: daskrun.testing.run_script("a.py", [], arguements=[])
    ),
}


@pytest.mark.parametrize("said", NAMED)
def test_a_wrong_call_is_a_sentence(said):
    with pytest.raises(daskrun.WrongArgumentsError) as caught:
        NAMED[said]()
    assert str(caught.value).startswith(said)
    assert isinstance(caught.value, TypeError)
