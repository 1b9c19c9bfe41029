"""What pages need to be there before their first block, by the name that they give it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clusters import Cluster
from s3 import KEY, SECRET, new_bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pytest


class Given(NamedTuple):
    """What the reader of a page has been given."""

    written: dict[str, str] = {}  # noqa: RUF012  (nobody changes it)
    """By what stands on the page: what to write in its place."""
    variables: dict[str, str] = {}  # noqa: RUF012
    """Of the environment."""


@contextmanager
def texts(folder: Path, _: pytest.FixtureRequest) -> Iterator[Given]:
    """Make a folder ``texts`` of 25 files, of 0 to 24 words."""
    (folder / "texts").mkdir()
    for n in range(25):
        (folder / "texts" / f"{n:02d}.txt").write_text("word " * n)
    yield Given()


@contextmanager
def orders(folder: Path, _: pytest.FixtureRequest) -> Iterator[Given]:
    """Make a folder ``orders`` of two CSV files, with a line break in a field of each."""
    (folder / "orders").mkdir()
    for n in (0, 1):
        rows = f'"nut, {n}",0.5,4,x\nbolt,1.25,0,y\n"two\nlines",2,3,z\n'
        (folder / "orders" / f"{n}.csv").write_text("item,price,count,note\n" + rows)
    yield Given()


@contextmanager
def cluster(folder: Path, _: pytest.FixtureRequest) -> Iterator[Given]:
    """Start a scheduler and two workers; ``tcp://scheduler:8786`` is its address on the page."""
    logs = folder / "cluster"
    logs.mkdir()
    found = Cluster(logs)
    try:
        found.have_workers(2)
        yield Given(written={"tcp://scheduler:8786": found.address})
    finally:
        found.close()


@contextmanager
def s3(_: Path, request: pytest.FixtureRequest) -> Iterator[Given]:
    """Make a bucket; ``s3://bucket`` is its URL on the page."""
    bucket = new_bucket(request.getfixturevalue("s3_endpoint"), "docs")
    variables = {
        "AWS_ENDPOINT_URL": bucket.endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    yield Given({"s3://bucket": bucket.url}, variables)


@contextmanager
def services(_: Path, __: pytest.FixtureRequest) -> Iterator[Given]:
    """Have what makes clusters elsewhere come from :mod:`services`."""
    real = {
        "dask.distributed import SSHCluster": "SSHCluster",
        "dask_jobqueue import SLURMCluster": "SLURMCluster",
        "dask_kubernetes.operator import KubeCluster": "KubeCluster",
        "dask_gateway import Gateway": "Gateway",
        "coiled import Cluster": "Cluster",
    }
    written = {f"from {name}": f"from services import {ours}" for name, ours in real.items()}
    yield Given(written, {"PYTHONPATH": str(Path(__file__).parent)})


NEEDS: dict[str, Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Given]]] = {
    "texts": texts,
    "orders": orders,
    "cluster": cluster,
    "s3": s3,
    "services": services,
}
