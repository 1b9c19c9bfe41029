"""What ``daskrun init`` writes."""

from __future__ import annotations

JOB = "job.yml"

_JOB = """\
# What is run, over which data, and how.
#   daskrun check job.yml                                what a run would be
#   daskrun run job.yml                                  runs it
#   daskrun run job.yml --set inputs.texts=other/folder  over other data
type: parallel
name: count-words

inputs:
  texts:                            # a folder, a glob such as texts/*.txt, or a URL
    type: uri_folder
    path: ./texts
outputs:
  counts:                           # where results go
    type: uri_folder
    path: ./counts

input_data: ${{inputs.texts}}       # what is cut into mini-batches
mini_batch_size: "2"                # files for each run(); of tables a size, such as "1MB"
mini_batch_error_threshold: 0       # mini-batches that may fail; -1: any number
max_concurrency_per_instance: 2     # script processes
retry_settings:
  max_retries: 3                    # tries of a mini-batch
  timeout: 60                       # seconds for one run()

task:
  type: run_function
  code: .
  entry_script: score.py
  append_row_to: ${{outputs.counts}} # all that run() returns, in the order of the data
  # program_arguments: --least 3    # what the script finds in sys.argv
"""

_SCRIPT = '''\
"""The entry script: init() is called once in each process, run() for each mini-batch."""

from pathlib import Path


def init():
    """Load what all mini-batches need, such as a model."""


def run(mini_batch):
    """Return one result for each file; mini_batch is a list of paths."""
    results = []
    for path in map(Path, mini_batch):
        words = path.read_text().split()
        results.append(f"{path.name}: {len(words)} words")
    return results
'''

FILES = {
    JOB: _JOB,
    "score.py": _SCRIPT,
    "texts/a.txt": "one\n",
    "texts/b.txt": "one two\n",
    "texts/c.txt": "one two three\n",
}
"""Text of each file by its path."""
