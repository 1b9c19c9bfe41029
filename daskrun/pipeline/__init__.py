"""What a user puts together: parameters, configuration, steps, pipelines; and the runs of them."""
