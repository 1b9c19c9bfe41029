"""What users hold: pipelines, experiments, runs, published pipelines, metrics."""
