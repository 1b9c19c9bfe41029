"""From what ``run()`` returned to one output: encoders, parts, finalize, the output's folder."""
