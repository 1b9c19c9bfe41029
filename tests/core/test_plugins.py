"""Code that is loaded by its name."""

import pytest

import daskrun
from daskrun import DaskrunError
from daskrun.core.plugins import entry_points, lazy, linked, load


def test_a_reference_names_module_and_attribute():
    assert load("daskrun.errors:DaskrunError") is DaskrunError


def test_what_a_plugin_misses_itself_is_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text("import absent_module_of_a_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_module_of_a_plugin"):
        load("broken_plugin:VALUE")


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("nothing_here:name", "there is no module 'nothing_here'"),
        ("json.nothing:name", "there is no module 'json.nothing'"),
        ("nothing_here.more:name", "there is no module 'nothing_here'"),
        ("json:nothing", "module 'json' has no 'nothing'"),
    ],
)
def test_what_can_not_be_loaded_is_named(reference, why):
    with pytest.raises(DaskrunError, match=f"^'{reference}' can't be loaded: {why}"):
        load(reference)


def test_each_link_leads_somewhere():
    for name in daskrun.LINKS:
        assert linked(name) is load(daskrun.LINKS[name])


def test_entry_points_are_looked_up_once(tmp_path, monkeypatch):
    info = tmp_path / "some_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: some-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[daskrun.tests]\nroot = math:sqrt\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = entry_points("daskrun.tests")
    assert found["root"].load()(9) == 3
    assert entry_points("daskrun.tests") is found
    assert entry_points("daskrun.nothing") == {}


def test_a_lazy_package_keeps_what_it_has_loaded(monkeypatch):
    import json

    monkeypatch.delattr(json, "sqrt", raising=False)
    attribute, names = lazy("json", {"sqrt": "math"})
    assert "sqrt" in names()
    assert attribute("sqrt") is vars(json)["sqrt"]
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'sine'"):
        attribute("sine")
