"""Cutting a traceback down to the user's own frames."""

from __future__ import annotations

import re

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+')
_MACHINERY = re.compile(
    r"(^|[\\/])forkpoint_worker[\\/]|^<frozen (runpy|importlib)|[\\/]runpy\.py$|^<string>$"
)


def trim(text: str) -> str:
    """The traceback without the frames of the worker and of `runpy`.

    Text that is no frame is kept as it is, so a traceback in an unknown form stays whole.
    """
    kept: list[str] = []
    dropping = False
    for line in text.splitlines():
        frame = _FRAME.match(line)
        if frame:
            dropping = _MACHINERY.search(frame["file"]) is not None
        elif not line.startswith("  "):
            dropping = False
        if not dropping:
            kept.append(line)
    return "\n".join(kept)
