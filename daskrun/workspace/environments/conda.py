"""What is named for conda, as pip knows it."""

from __future__ import annotations

import re

PIP_NAMES = {
    "dask-core": "dask",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "numpy-base": "numpy",
    "opencv": "opencv-python",
    "py-lightgbm": "lightgbm",
    "py-opencv": "opencv-python",
    "py-xgboost": "xgboost",
    "pyqt": "PyQt5",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "ruamel_yaml": "ruamel.yaml",
    "seaborn-base": "seaborn",
    "tensorflow-base": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-mkl": "tensorflow",
    "torchvision-cpu": "torchvision",
}
"""By conda's name that of the distribution, where it is another."""
_OTHERS = """
_libgcc_mutex _openmp_mutex anaconda blas boost bzip2 ca-certificates conda cuda cudatoolkit cudnn
curl ffmpeg freetype gcc gcc_linux-64 geos gfortran git glib graphviz gxx gxx_linux-64 hdf5 icu
intel-openmp jpeg libblas libcurl libffi libgcc libgcc-ng libgdal libgfortran libiconv libopenblas
libpng libprotobuf libsndfile libspatialindex libstdcxx-ng libtiff libxml2 make mkl mpi mpich nccl
ncurses nodejs openblas openjdk openmpi openssl pip poppler proj python pytorch-cuda pytorch-mutex
readline sqlite tesseract tk unixodbc xz zlib
"""
NO_PACKAGES = frozenset(_OTHERS.split())
"""What is no Python package; ``pip`` and ``python`` are the node's own."""
_LINE = re.compile(r"(?:[\w./-]+::)?(?P<name>[\w.-]+)\s*(?P<version>.*)")
_ORDERED = re.compile(r"[<>!~]=?[^|]+|==[^|=,]+(,[^|]+)?")


def as_pip(line: str) -> str | None:
    """Return the line for pip that asks for what a line for conda does; None where there is none.

    Examples
    --------
    >>> [as_pip(each) for each in ("scikit-learn=0.22", "conda-forge::pytorch>=2,<3", "poppler")]
    ['scikit-learn==0.22.*', 'torch>=2,<3', None]
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    name, version = match["name"].lower(), match["version"].strip()
    if name in NO_PACKAGES or name.startswith(("r-", "nb_conda")):
        return None
    name = PIP_NAMES.get(name, name)
    if not version or version == "*":
        return name
    if _ORDERED.fullmatch(version):
        return f"{name}{version}".replace(" ", "")
    exact = re.fullmatch(r"={0,2}([\w.]+?)(\.?\*)?(?:(=| +)\S+)?", version)
    if exact is None:
        return None
    built = exact[3] is not None  # of one build, and so of one version
    return f"{name}=={exact[1]}" if built else f"{name}=={exact[1]}.*"
