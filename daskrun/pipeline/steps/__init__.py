"""What users put together: parameters, configurations, arguments, outputs, snapshots, steps."""
