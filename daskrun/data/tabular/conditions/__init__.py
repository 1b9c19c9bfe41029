"""Conditions on a table's rows, and the steps that are applied to rows after they are read."""
