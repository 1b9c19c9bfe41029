"""The original's module names, which stand for daskrun's.

``names.py`` says what is in which module, ``missing.py`` what the original has and daskrun has not,
``finder.py`` has Python's ``import`` find it all. It is on the floor of the script processes since
they need it; ``import daskrun.azureml`` does the same for a user's program.
"""

from daskrun.script.original.finder import offer, offered, put_first, take_out

__all__ = ["offer", "offered", "put_first", "take_out"]
