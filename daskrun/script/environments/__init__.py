"""The Python of script processes: found, or built once per machine."""
