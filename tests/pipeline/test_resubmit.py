"""The same pipeline again: other data, sizes, counts, limits; what is wrong is said at once."""

import pytest

from daskrun import (
    Dataset,
    DatasetConsumptionConfig,
    Experiment,
    NameNotFoundError,
    ParallelRunConfig,
    ParallelRunStep,
    Pipeline,
    PipelineData,
    PipelineParameter,
    PythonScriptStep,
    SettingsError,
    Workspace,
)

SCRIPT = """
import sys
def run(mini_batch):
    return [f"{len(mini_batch)} {' '.join(sys.argv[1:])}"] * len(mini_batch)
"""


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, count in (("files", 4), ("others", 6)):
        (tmp_path / folder).mkdir()
        for n in range(count):
            (tmp_path / folder / f"{n}.csv").write_text("a\n1\n2\n")
    (tmp_path / "sizes.py").write_text(SCRIPT)
    (tmp_path / "plain.py").write_text("pass\n")
    return Workspace.create("trial", path=tmp_path)


@pytest.fixture
def pipeline(ws):
    data = PipelineParameter("data_param", Dataset.File.from_files("files"))
    word = PipelineParameter("word", "first")
    config = ParallelRunConfig(
        entry_script="sizes.py",
        error_threshold=0,
        output_action="append_row",
        compute_target="inline",
        mini_batch_size=PipelineParameter("batch_size_param", "2"),
        node_count=PipelineParameter("nodes", 1),
        run_invocation_timeout=PipelineParameter("limit", 60),
    )
    step = ParallelRunStep(
        "sizes-step",
        config,
        [DatasetConsumptionConfig("texts", data)],
        PipelineData("sizes"),
        arguments=["--word", word],
        allow_reuse=False,
    )
    other = PythonScriptStep(
        "plain.py",
        "plain-step",
        params={"word": word},
        timeout=PipelineParameter("plain_limit", 50),
        compute_target="inline",
        allow_reuse=False,
    )
    return Pipeline(ws, [step, other])


def rows(run):
    assert run.wait_for_completion(raise_on_error=False) == "Completed", run.message
    found = run.find_step_run("sizes-step")[0].get_output_data("sizes")
    folder = found.datastore.folder / found.path_on_datastore
    return (folder / "parallel_run_step.txt").read_text().splitlines()


def problems_of(submit, parameters):
    with pytest.raises(SettingsError) as caught:
        submit(parameters)
    return list(caught.value.problems)


LISTING = """\
The pipeline's parameters:
  'batch_size_param', default '2': mini_batch_size of step 'sizes-step'
  'data_param', default Dataset.File.from_files('files'): input 'texts' of step 'sizes-step'
  'limit', default 60: run_invocation_timeout of step 'sizes-step'
  'nodes', default 1: node_count of step 'sizes-step'
  'plain_limit', default 50: timeout of step 'plain-step'
  'word', default 'first': arguments[1] of step 'sizes-step', params['word'] of step 'plain-step'"""


def test_each_submit_has_its_own_values(ws, pipeline):
    assert rows(pipeline.submit("again")) == ["2 --word first"] * 4
    given = {
        "data_param": Dataset.File.from_files("others"),
        "batch_size_param": 3,
        "word": ["a", 5],
        "limit": "30",
    }
    assert rows(pipeline.submit("again", given)) == ["3 --word a 5"] * 6
    published = pipeline.publish("again")
    assert rows(published.submit(ws, "again", given)) == ["3 --word a 5"] * 6
    assert rows(pipeline.submit("again", regenerate_outputs=True)) == ["2 --word first"] * 4
    assert len(list(Experiment(ws, "again").get_runs())) == 4


@pytest.mark.parametrize("published", [False, True])
def test_all_that_is_wrong_is_said_at_once(ws, pipeline, published):
    table = Dataset.Tabular.from_delimited_files("files/*.csv")
    wrong = {
        "data_param": table,
        "batch_size_param": "abc",
        "nodes": 0,
        "limit": -1,
        "plain_limit": "long",
        "word": {"no": "text"},
        "batch_size": 5,
    }
    what = pipeline.publish("x") if published else pipeline

    def submit(parameters):
        return Experiment(ws, "again").submit(what, pipeline_parameters=parameters)

    problems = problems_of(submit, wrong)
    expected = [
        f"pipeline_parameters={{'data_param': {table!r}}}: this is a tabular dataset, and the",
        "pipeline_parameters={'batch_size': 5}: the pipeline has no such parameter.",
        "step 'sizes-step': pipeline_parameters={'word': {'no': 'text'}}: arguments[1]=",
        "step 'sizes-step': pipeline_parameters={'batch_size_param': 'abc'}: mini_batch_size='abc'",
        "step 'sizes-step': pipeline_parameters={'nodes': 0}: node_count=0 is out of range",
        "step 'sizes-step': pipeline_parameters={'limit': -1}: run_invocation_timeout=-1 must be",
        "step 'plain-step': pipeline_parameters={'plain_limit': 'long'}: timeout='long' is not",
    ]
    for text in expected:
        assert [each for each in problems if each.startswith(text)], (text, problems)
    assert len(problems) == len(expected)
    assert problems[-1].endswith(f"\n  {LISTING}")
    assert list(Experiment(ws, "again").get_runs()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size_param": "10MB"}, "mini_batch_size='10MB' is a size in bytes, and the inputs"),
        ({"data_param": "files"}, "an input needs a dataset, this is of type str"),
        ({"data_param": None}, "an input needs a dataset, this is of type NoneType"),
        ({"data_param": PipelineData("x")}, "an input needs a dataset, this is of type PipelineD"),
        ({"data_param": PipelineData("x").as_dataset()}, "it is what a step writes once it has"),
        ({"word": Dataset.File.from_files("a", validate=False)}, "this parameter is no dataset"),
        ({"word": PipelineData("x")}, "this parameter is no dataset"),
        ({"nodes": "few"}, "node_count='few' is not a whole number"),
        ({"nodes": True}, "node_count=True is not a whole number"),
        ({"Word": "a"}, "the pipeline has no such parameter"),
        ({3: "a"}, "the pipeline has no such parameter"),
    ],
)
def test_each_kind_of_mistake(pipeline, given, message):
    (problem,) = problems_of(lambda values: pipeline.submit("again", values), given)
    assert message in problem
    assert f"pipeline_parameters={{{next(iter(given))!r}: " in problem
    assert problem.endswith(f"\n  {LISTING}")


@pytest.mark.parametrize("given", ["a", ["word"], [("word", "a")], 3])
def test_parameters_are_a_dict(pipeline, given):
    (problem,) = problems_of(lambda values: pipeline.submit("again", values), given)
    assert problem.startswith(f"pipeline_parameters={given!r} is not a dict.")


def test_a_default_that_is_wrong_is_said_to_be_one(pipeline):
    pipeline.steps[0].parallel_run_config.node_count = PipelineParameter("nodes", "none")
    (problem,) = problems_of(lambda values: pipeline.submit("again", values), {"word": "a"})
    assert problem.startswith("step 'sizes-step': parameter 'nodes' by default: node_count='none'")


def test_a_pipeline_without_parameters_says_so(ws):
    plain = Pipeline(ws, [PythonScriptStep("plain.py")])
    problems = problems_of(lambda values: plain.submit("again", values), {"size": 3})
    (problem,) = problems
    assert problem.endswith("no such parameter.\n  The pipeline has no parameters.")


def test_data_that_holds_nothing_is_found_by_validate(ws, pipeline, tmp_path):
    assert pipeline.validate() == []
    for file in (tmp_path / "files").iterdir():
        file.unlink()
    (problem,) = pipeline.validate()
    assert problem.startswith("step 'sizes-step': ")
    assert "files" in problem
    (tmp_path / "sizes.py").unlink()
    (problem,) = pipeline.validate()
    assert "entry_script='sizes.py' is not there" in problem
    assert list(Experiment(ws, "again").get_runs()) == []


def test_a_run_has_the_tags_of_its_submit(ws, pipeline):
    experiment = Experiment(ws, "again")
    run = experiment.submit(pipeline, tags={"night": "7"})
    assert run.get_tags() == {"night": "7"}
    assert [each.id for each in experiment.get_runs(tags={"night": "7"})] == [run.id]
    for wrong in ({"night": 7}, {" ": "7"}, "night", {7: "night"}):
        with pytest.raises(SettingsError, match="tags="):
            experiment.submit(pipeline, tags=wrong)
    rows(run)
    assert len(list(experiment.get_runs())) == 1


def test_a_workspace_finds_runs_of_all_experiments(ws, pipeline):
    runs = [Experiment(ws, name).submit(pipeline) for name in ("one", "two")]
    for run in runs:
        rows(run)
        assert ws.get_run(run.id).id == run.id
        step = run.find_step_run("sizes-step")[0]
        assert ws.get_run(step.id).get_status() == "Completed"
        assert ws.get_run(step.id).parent.id == run.id
    with pytest.raises(NameNotFoundError, match=f"no run has the name 'none'.*{runs[1].id}"):
        ws.get_run("none")


def test_what_a_step_writes_is_mounted_or_downloaded(ws):
    out = PipelineData("out")
    uses = [out.as_mount(), out.as_download("down")]
    assert [(each.name, each.mode, each.path_on_compute) for each in uses] == [
        ("out", "mount", None),
        ("out", "download", "down"),
    ]


def test_a_published_pipeline_uses_what_the_pipeline_has_made(ws, pipeline, tmp_path):
    step = pipeline.steps[0]
    step.allow_reuse = True
    rows(pipeline.submit("again"))
    published = pipeline.publish("again")
    (tmp_path / "sizes.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    run = published.submit(ws, "again")
    run.wait_for_completion()
    made = run.find_step_run("sizes-step")[0]
    assert made.reused_run_id is not None, made.explain_reuse()
    changed = pipeline.submit("again")
    changed.wait_for_completion()
    assert changed.find_step_run("sizes-step")[0].reused_run_id is None


@pytest.mark.parametrize("name", ["regenerate_outputs", "continue_on_step_failure"])
def test_switches_are_true_or_false(pipeline, name):
    with pytest.raises(SettingsError, match=f"{name}='yes': write True or False"):
        pipeline.submit("again", **{name: "yes"})
