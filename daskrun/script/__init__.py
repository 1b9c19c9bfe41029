"""The entry script's side: the keeper, its script processes, and what user code sees in them."""
