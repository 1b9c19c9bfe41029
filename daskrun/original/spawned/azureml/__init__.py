"""Stands for the original in a process that a script has started; see the folder above."""

import sys

from daskrun.original.finder import offer, stand_in

offer()
sys.modules[__name__] = stand_in(__name__)
