"""The folder of a run, on this machine or behind a URL."""
