"""What the host can see while a worker runs, and after it has died."""

from __future__ import annotations

import faulthandler
import mmap
import os
from typing import Protocol

SIZE = 1024


class Status(Protocol):
    """Whoever wants to know which event has begun."""

    def write(self, step: int, module: str, op: str = "") -> None:
        """Note that an event of a step begins."""


class LastEvent:
    """A small file mapped into memory: the last event begun survives SIGKILL and segfaults."""

    def __init__(self, path: str) -> None:
        with open(path, "w+b") as stream:
            stream.truncate(SIZE)
            self._map = mmap.mmap(stream.fileno(), SIZE)

    def write(self, step: int, module: str, op: str = "") -> None:
        """Note that an event of a step begins."""
        text = ("%d\t%s\t%s" % (step, module, op)).encode("utf-8", "replace")[: SIZE - 1]
        self._map[: len(text) + 1] = text + b"\0"


class NoStatus:
    """Stands in where nobody watches (recording inside a notebook)."""

    def write(self, step: int, module: str, op: str = "") -> None:
        """Do nothing."""


def watch_faults(folder: str) -> None:
    """Let `faulthandler` write Python stacks to ``fault.log`` when the process is hit by a signal.

    The file stays open as long as the process lives.
    """
    stream = open(os.path.join(folder, "fault.log"), "w")  # noqa: SIM115
    faulthandler.enable(file=stream, all_threads=True)
