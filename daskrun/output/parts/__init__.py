"""What script processes write: rows into parts, the files of the script to their URL."""
