"""Watchers of a run: they are shown its events and never change it."""
