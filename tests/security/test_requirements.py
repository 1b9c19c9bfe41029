"""The versions that daskrun is developed with fit what it asks for, and can be audited."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ROOT / ".ci" / "requirements.txt"


def test_every_version_is_written_down_and_fits():
    text = LOCKED.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    locked = {}
    for line in lines:
        each = Requirement(line)
        [specifier] = each.specifier
        assert specifier.operator == "=="
        locked.setdefault(canonicalize_name(each.name), []).append(specifier.version)
    assert not re.search("://|--", "\n".join(lines))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # Without stores that no test reaches, and what is measured beside daskrun alone.
    used = extras.keys() - {"azure", "gcs", "all", "peers"}
    asked = [each for name in used for each in extras[name]]
    for each in map(Requirement, [*project["dependencies"], *asked]):
        if each.name != "daskrun":
            found = locked[canonicalize_name(each.name)]
            assert all(each.specifier.contains(version) for version in found), each
