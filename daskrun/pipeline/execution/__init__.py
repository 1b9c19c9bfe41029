"""Driving a run: its threads, its states, reuse, resume, signals."""
