"""The original, the Azure ML SDK v1: its modules' names, and what of it daskrun lacks.

Lower floors reach this one by the links of ``daskrun/__init__.py``. ``import daskrun.azureml`` puts
the names first; nothing here does so by being imported. See ``azureml/ARCHITECTURE.md``.
"""
