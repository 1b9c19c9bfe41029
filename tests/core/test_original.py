import pickle
import re
from operator import attrgetter

import pytest

import daskrun
from daskrun import OriginalNameError
from daskrun.core.original import LACKING, Lacking, OriginalClass
from daskrun.data.dataset import FileDatasetFactory
from daskrun.data.tabular.factory import TabularDatasetFactory
from daskrun.pipeline.run import PipelineRun

OTHERS = {each.__name__: each for each in (FileDatasetFactory, PipelineRun, TabularDatasetFactory)}
MEMBERS = [(name, member) for name, members in LACKING.items() for member in members]


def class_of(name):
    return OTHERS.get(name) or getattr(daskrun, name)


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_member_that_is_lacking_says_what_there_is_instead(name, member):
    kind = class_of(name)
    with pytest.raises(OriginalNameError) as error:
        getattr(kind, member)
    assert str(error.value) == f"daskrun has no {name}.{member}: {LACKING[name][member]}"
    assert not hasattr(kind, member)


def test_runs_and_workspaces_of_all_kinds_lack_the_same(tmp_path):
    run = daskrun.Run.get_context()
    with pytest.raises(
        OriginalNameError, match=r"daskrun has no Run\.get_portal_url: there is no p"
    ):
        run.get_portal_url()
    assert "get_portal_url" not in dir(run)
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
    assert isinstance(vars(Model)["package"], Lacking)
    assert "deploy" in dir(Better())


def test_the_error_can_be_pickled():
    with pytest.raises(OriginalNameError) as error:
        daskrun.Model.deploy  # noqa: B018
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_hints_name_only_what_there_is():
    hints = " ".join(hint for members in LACKING.values() for hint in members.values())
    words = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", hints))
    assert len(words) > 5
    assert words <= set(daskrun.__all__)
    calls = set(re.findall(r"\b([A-Z]\w+(?:\.\w+)+)\(", hints))
    assert len(calls) > 5
    for call in calls:
        attrgetter(call)(daskrun)
