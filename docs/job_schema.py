"""The JSON schema of job files, by which editors complete and check them."""

from __future__ import annotations

import json

from daskrun.jobs.kinds import FILES
from daskrun.jobs.schema import json_schema


def page() -> str:
    """Return the schema as JSON."""
    return json.dumps(json_schema(FILES), indent=1) + "\n"
