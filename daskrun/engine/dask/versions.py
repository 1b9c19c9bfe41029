"""What is installed on client, scheduler and workers: who can take part, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MATTER = ("daskrun", "dask", "distributed", "pandas", "pyarrow")
"""Packages whose other versions are told; a worker of another minor Python takes no part."""
OF_SCHEDULER = ("dask", "distributed")
SCHEDULER = "the scheduler"
"""Stands for an address where that has none."""
NAMED = 5
"""Workers that one message names."""


def named(addresses: Iterable[str]) -> str:
    """Return workers as a message names them.

    Examples
    --------
    >>> named(["tcp://b", "tcp://a"])
    'tcp://a, tcp://b'
    """
    shown = sorted(addresses)
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return ", ".join(shown[:NAMED]) + more


def misfit(found: Mapping[str, str], here: Mapping[str, str], who: str = "the driver") -> str:
    """Return why a worker with what is ``found`` can take no part; ``""`` where it can.

    ``here`` is what the driver, or ``who`` else, has.

    Examples
    --------
    >>> here = {"python": "3.11.7", "daskrun": "0.1.0", "wire": "1"}
    >>> misfit({**here, "python": "3.12.1"}, here)
    'runs Python 3.12.1, and the driver 3.11.7: start it with Python 3.11'
    >>> misfit({"python": "3.11.2", "trouble": "ImportError: ..."}, here)
    'has no daskrun that can be loaded (ImportError: ...): install daskrun==0.1.0 there'
    >>> misfit({**here, "python": "3.11.2"}, here)
    ''
    """
    wanted, own = here["python"].rpartition(".")[0], here.get("daskrun", "")
    if found["python"].rpartition(".")[0] != wanted:
        return (
            f"runs Python {found['python']}, and {who} {here['python']}: "
            f"start it with Python {wanted}"
        )
    if (trouble := found.get("trouble")) is not None:
        return f"has no daskrun that can be loaded ({trouble}): install daskrun=={own} there"
    if found["wire"] != here["wire"]:
        return (
            f"has daskrun {found.get('daskrun', '?')}, which talks another way (wire version "
            f"{found['wire']}, {who} {here['wire']}): install daskrun=={own} there"
        )
    return ""


def differences(found: Mapping[str, Mapping[str, str]], here: Mapping[str, str]) -> str:
    """Return in one sentence what of ``found``, by address, differs and matters; or ``""``.

    Examples
    --------
    >>> here = {"pandas": "3.0.1", "dask": "2026.8.0"}
    >>> differences({"tcp://a": here, "tcp://b": {**here, "pandas": "2.2.3"}}, here)
    'versions differ, and results may: pandas 2.2.3 on tcp://b (3.0.1 here)'
    """
    others: dict[tuple[str, str], list[str]] = {}
    for address, versions in found.items():
        for package in OF_SCHEDULER if address == SCHEDULER else MATTER:
            there = versions.get(package, "missing")
            if there != here.get(package, "missing"):
                others.setdefault((package, there), []).append(address)
    told = [
        f"{package} {there} on {named(addresses)} ({here.get(package, 'missing')} here)"
        for (package, there), addresses in others.items()
    ]
    return f"versions differ, and results may: {'; '.join(told)}" if told else ""
