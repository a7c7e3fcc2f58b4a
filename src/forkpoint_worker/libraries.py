"""Which ops may run because a file names them: those of torch's own libraries.

A capsule may come from anybody, and `torch.ops` is a way to more than ops: other libraries run
foreign code, and attributes that are no ops import modules. The host reads this, too.
"""

from __future__ import annotations

import re

OWN = (
    *("aten", "prims", "quantized", "_quantized", "quantized_decomposed"),
    *("mkldnn", "mkldnn_prepacked", "mkl", "onednn"),
)
"""The libraries that torch itself brings and whose ops compute."""

_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z0-9_]+)")
_FOREIGN = "is no op of torch's own libraries"
_LONGEST = 200
_FORBIDDEN = frozenset(("aten.from_file", "aten.save"))
"""Ops that open files by a name that they are given."""


def parts_of(name: str) -> tuple[str, str, str] | None:
    """Library, op and overload of an op's whole name; None where it is no such name."""
    found = _NAME.fullmatch(name) if len(name) <= _LONGEST else None
    return None if found is None else (found[1], found[2], found[3])


def is_about_trust(reason: object) -> bool:
    """Whether a capsule's reason says no more than that its op is no op of torch's own."""
    text = str(reason)
    return text.endswith("is not an op that replay runs") or _FOREIGN in text


def refused(name: str, *, trust: bool = False) -> str | None:
    """Why an op of this name is not run, or None where it is; ``trust`` lets any library in."""
    parts = parts_of(name)
    if parts is None:
        return "%r is not the name of an op" % name[:_LONGEST]
    library, base, _ = parts
    if "%s.%s" % (library, base) in _FORBIDDEN:
        return "%s opens a file that it is told the name of" % name
    if library not in OWN and not trust:
        return "%s %s (%s, ...)" % (name, _FOREIGN, ", ".join(OWN[:3]))
    return None
