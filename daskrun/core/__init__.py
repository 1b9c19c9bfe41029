"""The pure heart: settings, mini-batches, outcomes, the ledger.

No I/O, no clock, standard library only.
"""
