"""From a tabular dataset to its mini-batches: files resolved, cut, counted, in order."""
