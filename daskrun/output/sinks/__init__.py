"""The formats of an output: one contract, one file for each format, one registry."""
