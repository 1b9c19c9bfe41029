"""What runs in the keeper: its loop, and how it starts, watches and ends its children."""
