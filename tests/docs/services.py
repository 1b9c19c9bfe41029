"""Clusters as pages make them of hosts, queues and services that no test has.

Each takes the arguments that the real one has of what the pages write; its workers are here.
"""

from __future__ import annotations

from typing import Any

from distributed import LocalCluster


class _Here(LocalCluster):
    def __init__(self, workers: int = 0) -> None:
        options = {"processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        super().__init__(n_workers=workers, protocol="tcp", **options)


class SSHCluster(_Here):
    """Like distributed's: the first host has the scheduler, each other one a worker."""

    def __init__(self, hosts: list[str], worker_options: dict[str, Any] | None = None) -> None:
        assert set(worker_options or {}) <= {"nthreads", "memory_limit"}
        super().__init__(len(hosts) - 1)


class SLURMCluster(_Here):
    """Like dask-jobqueue's: no worker until it is scaled."""

    def __init__(
        self,
        *,
        queue: str,
        cores: int,
        processes: int,
        memory: str,
        walltime: str,
        worker_extra_args: list[str],
    ) -> None:
        assert processes == 1
        super().__init__()


class KubeCluster(_Here):
    """Like the one of dask-kubernetes' operator."""

    def __init__(self, *, name: str, image: str, n_workers: int) -> None:
        super().__init__(n_workers)


class Gateway:
    """Like dask-gateway's."""

    def __init__(self, address: str) -> None:
        assert address.startswith("https://")

    def new_cluster(self) -> _Here:
        """Make a cluster without workers."""
        return _Here()


class Cluster(_Here):
    """Like Coiled's."""

    def __init__(self, *, name: str, n_workers: list[int], region: str) -> None:
        super().__init__(n_workers[0])
