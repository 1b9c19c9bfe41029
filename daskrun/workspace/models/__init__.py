"""Registered models, and which of them a run has used."""
