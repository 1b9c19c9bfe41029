"""``import daskrun.azureml``: from here on ``azureml.core`` and the like are daskrun's.

Written before the first import of anything of ``azureml``, it makes code written for the Azure ML
SDK v1 run as it stands. Code that can't be changed is run by ``python -m daskrun.azureml script.py
arguments``. In script processes the names are there anyway, unless the SDK is installed.

Examples
--------
>>> import daskrun.azureml  # doctest: +SKIP
>>> from azureml.core import Workspace  # doctest: +SKIP
"""

from daskrun.original.finder import put_first

put_first()
