"""Where results go: sinks (the formats), parts (what processes write), assembly (one output)."""
