"""What an implementation of a seam has to keep, as tests that it inherits.

Each is a class of tests for pytest; inherit it in one whose name begins with ``Test``, and make the
implementation in the method that is left out.
"""
