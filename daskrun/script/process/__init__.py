"""What runs in a script process, and in this one for inline runs: the user's code, called."""
