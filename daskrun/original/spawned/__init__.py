"""A folder of ``sys.path``: what makes the original's names importable in processes started anew.

Those that a script starts (``multiprocessing`` with ``spawn``, joblib) have its ``sys.path``, not
its finders. Whoever imports ``azureml`` there finds the package below, which offers the names.
"""
