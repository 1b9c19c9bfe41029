"""What daskrun costs, beside its targets and its peers: ``python -m benchmarks``."""
