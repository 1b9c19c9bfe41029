"""From what was asked for to what can be driven: checked, prepared, nothing started."""
