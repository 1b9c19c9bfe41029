"""Mini-batches of tables in the process that runs them: read, completed, given to ``run()``."""
