"""Side inputs on a node: whole before any script is imported."""
