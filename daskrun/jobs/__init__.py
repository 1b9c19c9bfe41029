"""Job files of Azure ML v2: read, checked, and run as pipelines."""

from daskrun.jobs.job import Job, load_job

__all__ = ["Job", "load_job"]
