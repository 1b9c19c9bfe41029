"""What delimited files and JSON lines share: bytes, lines, records, and cutting at them."""
