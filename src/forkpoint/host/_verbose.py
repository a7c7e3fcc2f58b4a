"""Names of the library kernels that ran on a CPU, from what MKL and oneDNN log.

Both write a line to standard output for each call, if their environment variables ask for it;
the worker marks there where an op call begins and ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_MARK = re.compile(r"forkpoint-call (begin|end) (.*)")
_MKL = re.compile(r"MKL_VERBOSE ([A-Z][A-Z0-9_]+)\(.*?\bNThr:(\d+)")
_ONEDNN = re.compile(
    r"(?:onednn|dnnl)_verbose,(?:v\d+,)?(?:[\d.]+,)?(?:primitive,)?exec(?:,exec)?,cpu,(\w+),([^,]+),"
)
_MOST_BYTES = 64 << 20


def library_kernels(log: Path) -> dict[str, tuple[str, ...]]:
    """The kernels of each marked call, by the call's id, in the order in which they ran."""
    found: dict[str, list[str]] = {}
    current: str | None = None
    for line in _lines(log):
        mark = _MARK.match(line)
        if mark is not None:
            current = mark[2] if mark[1] == "begin" else None
            continue
        name = _kernel(line)
        if current is not None and name is not None:
            found.setdefault(current, []).append(name)
    return {call: tuple(dict.fromkeys(names)) for call, names in found.items()}


def _lines(log: Path) -> Iterator[str]:
    try:
        with log.open("rb") as stream:
            data = stream.read(_MOST_BYTES)
    except FileNotFoundError:
        return
    yield from data.decode(errors="replace").splitlines()


def _kernel(line: str) -> str | None:
    mkl = _MKL.search(line)
    if mkl is not None:
        return f"MKL {mkl[1]} ({mkl[2]} threads)"
    onednn = _ONEDNN.search(line)
    return f"oneDNN {onednn[1]} {onednn[2]}" if onednn is not None else None
