"""The workspace: a folder that remembers datastores, models, compute targets and runs."""
