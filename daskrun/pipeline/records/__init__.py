"""What is kept in the folder of a run, and read from there by another process."""
