"""Tables that a file named MLTable defines: where their files are, and how these are read."""
