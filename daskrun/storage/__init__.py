"""What a folder can do: create once, publish whole, append, lock. Journal and records."""
