"""Remote files of mini-batches, brought to the node ahead of need."""
